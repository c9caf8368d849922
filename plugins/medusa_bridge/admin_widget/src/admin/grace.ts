// Asks the sidecar about one order. Its page and its API stand behind the same host as Medusa's own, under /grace.
import Medusa, { FetchError } from "@medusajs/js-sdk"

// Medusa fills these in when the shop builds its admin: its own address and how its users are signed in; and, of the
// environment of that build, PLUGIN_MEDUSA_GRACE_URL as process.env.MEDUSA_GRACE_URL.
declare const __BACKEND_URL__: string | undefined
declare const __AUTH_TYPE__: "session" | "jwt" | undefined
declare const __JWT_TOKEN_STORAGE_KEY__: string | undefined
declare const process: { env: { MEDUSA_GRACE_URL?: string } }

export type Incident = { kind: string; detail: string; what_to_do: string; opened_at: string }

export type Grace = {
  order_id: string
  canceled: boolean
  canceled_at: string | null
  canceled_by: string | null
  reason: string | null
  payment_action: string
  incidents: Incident[]
  url: string
}

const configured = process.env.MEDUSA_GRACE_URL || __BACKEND_URL__ || "/"
const base = configured === "/" ? window.location.origin : configured

// Medusa's own client sends what the admin itself sends: the session's cookie, or the token it keeps.
const sdk = new Medusa({
  baseUrl: base,
  auth: { type: __AUTH_TYPE__ ?? "session", jwtTokenStorageKey: __JWT_TOKEN_STORAGE_KEY__ || undefined },
})

/** What the sidecar knows of an order. Rejects with words for a person when it cannot be asked. */
export async function askGrace(orderId: string, signal: AbortSignal): Promise<Grace> {
  try {
    const path = `/grace/api/orders/${encodeURIComponent(orderId)}`
    const answer = await sdk.client.fetch<Grace>(path, { signal })
    // Where the proxy's rule is missing, another server's answer may come back with a 200.
    if (typeof answer?.canceled !== "boolean" || typeof answer.url !== "string" || !Array.isArray(answer.incidents)) {
      throw new SyntaxError("not the sidecar's answer")
    }
    return answer
  } catch (error) {
    throw new Error(inWords(error))
  }
}

/** The operator's page about the order, wherever the sidecar stands. */
export function pageOf(grace: Grace): string {
  return base.replace(/\/$/, "") + `/${grace.url.replace(/^\/+/, "")}`
}

function inWords(error: unknown): string {
  const status = error instanceof FetchError ? error.status : undefined
  if (status === 401) {
    return "medusa-grace does not accept this sign-in."
  }
  return status ? `medusa-grace does not answer (${status}).` : "medusa-grace does not answer."
}
