// The released Stripe provider, with one thing changed: the host its client talks to. The provider has no option for it.
const Stripe = require("stripe")
const { ModuleProvider, Modules } = require("@medusajs/framework/utils")
const { StripeProviderService } = require("@medusajs/payment-stripe/dist/services")

class StripeElsewhere extends StripeProviderService {
  constructor(container, options) {
    super(container, options)
    const { protocol, hostname, port } = new URL(options.apiBase)
    const at = { protocol: protocol.replace(":", ""), host: hostname, port: Number(port), telemetry: false }
    this.stripe_ = new (Stripe.default || Stripe)(options.apiKey, at)
  }
}

module.exports = ModuleProvider(Modules.PAYMENT, { services: [StripeElsewhere] })
