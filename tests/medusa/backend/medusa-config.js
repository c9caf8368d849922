// A shop as its owner would configure it: Redis for events, workflows and locks, Stripe with manual capture.
// Everything comes from the environment, which the tests fill with made-up secrets and loopback addresses.
const { defineConfig } = require("@medusajs/framework/utils")

const { DATABASE_URL, REDIS_URL, STRIPE_API_KEY, STRIPE_API_BASE, STORE_CORS, JWT_SECRET, COOKIE_SECRET } = process.env
const { EVENTS_QUEUE, EVENTS_PREFIX, LOCK_NAMESPACE } = process.env // names that a shop may choose; unset, Medusa's own
const bullmq = EVENTS_PREFIX ? { prefix: EVENTS_PREFIX } : {}
const admin = process.env.ADMIN === "on"

module.exports = defineConfig({
  projectConfig: {
    databaseUrl: DATABASE_URL,
    databaseDriverOptions: { connection: { ssl: false } },
    redisUrl: REDIS_URL,
    http: {
      storeCors: STORE_CORS,
      adminCors: STORE_CORS,
      authCors: STORE_CORS,
      jwtSecret: JWT_SECRET,
      cookieSecret: COOKIE_SECRET,
    },
    cookieOptions: { secure: false, sameSite: "lax" }, // browsers keep the session although this is plain http
  },
  admin: { disable: !admin },
  plugins: admin ? [{ resolve: "medusa-grace-admin-widget", options: {} }] : [],
  modules: [
    {
      resolve: "@medusajs/medusa/payment",
      options: {
        providers: [
          {
            resolve: "./src/modules/stripe-elsewhere",
            id: "stripe",
            options: { apiKey: STRIPE_API_KEY, webhookSecret: "whsec_made_up", capture: false, apiBase: STRIPE_API_BASE },
          },
        ],
      },
    },
    {
      resolve: "@medusajs/medusa/event-bus-redis",
      options: { redisUrl: REDIS_URL, queueName: EVENTS_QUEUE, queueOptions: bullmq, workerOptions: bullmq },
    },
    { resolve: "@medusajs/medusa/workflow-engine-redis", options: { redis: { redisUrl: REDIS_URL, url: REDIS_URL } } },
    {
      resolve: "@medusajs/medusa/locking",
      options: {
        providers: [
          {
            resolve: "@medusajs/medusa/locking-redis",
            id: "locking-redis",
            is_default: true,
            options: { redisUrl: REDIS_URL, namespace: LOCK_NAMESPACE },
          },
        ],
      },
    },
  ],
})
