// headers: { "x-modification-token": token } for a guest, {} for a customer whom the sdk has signed in
export async function cancellation(sdk, orderId, headers, { button, reasons, status, receipt }) {
  const ask = (what, init = {}) =>
    sdk.client.fetch(`/store/orders/${orderId}/${what}`, { ...init, headers: { ...headers, ...init.headers } })
  const giveReceipt = async () => {
    const page = await ask("cancellation", { headers: { accept: "text/html" } }) // not JSON: the sdk hands on the Response
    Object.assign(receipt, { href: URL.createObjectURL(await page.blob()), download: "cancellation.html", hidden: false })
  }
  const offer = await ask("cancel")
  const end = Date.parse(offer.cancelable_until) - Date.parse(offer.server_time) + performance.now() // never the shopper's clock
  reasons.replaceChildren(new Option("", ""), ...offer.reasons.map(({ code, label }) => new Option(label, code)))
  const close = (text) => { clearInterval(timer); button.disabled = true; status.textContent = text }
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000)
    if (left > 0) status.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left to cancel`
    else close("This order can no longer be canceled.")
  }
  const timer = setInterval(tick, 1000)
  button.onclick = async () => {
    try {
      await ask("cancel", { method: "POST", body: reasons.value ? { reason: reasons.value } : {} })
      close("Your order is canceled.")
      await giveReceipt()
    } catch (refused) { status.textContent = refused.message } // written for shoppers
  }
  button.disabled = !offer.cancelable
  if (offer.cancelable) return tick()
  close(offer.reason === "canceled" ? "Your order is canceled." : "This order can no longer be canceled.")
  if (offer.reason === "canceled") await giveReceipt()
}
