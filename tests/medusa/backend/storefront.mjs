// What a storefront does with Medusa's own js-sdk, unchanged:
//   node storefront.mjs BASE_URL PUBLISHABLE_KEY ORDER_ID TOKEN
// prints {"canceled", "order"} or, as the shopper would see it, {"refused", "status", "order"}.
// It is required and not imported: the modules of some releases, 2.4 for one, are for bundlers, and Node does not find their parts.
import { createRequire } from "node:module"

const sdkModule = createRequire(import.meta.url)("@medusajs/js-sdk")
const Medusa = sdkModule.default ?? sdkModule
const [baseUrl, publishableKey, orderId, token] = process.argv.slice(2)
const sdk = new Medusa({ baseUrl, publishableKey })

const outcome = {}
try {
  outcome.canceled = await sdk.client.fetch(`/store/orders/${orderId}/cancel`, {
    method: "POST",
    headers: { "x-modification-token": token },
  })
} catch (error) {
  Object.assign(outcome, { kind: error.name, refused: error.message, status: error.status })
}
outcome.order = (await sdk.store.order.retrieve(orderId)).order // goes past the sidecar, to Medusa
console.log(JSON.stringify(outcome))
