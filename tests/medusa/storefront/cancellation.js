// headers: { "x-modification-token": token } for a guest, {} for a customer whom the sdk has signed in
export async function cancellation(sdk, orderId, headers, { form, button, reason, status, receipt }) {
  const ask = (what, init) => sdk.client.fetch(`/store/orders/${orderId}/${what}`, { headers, ...init })
  const close = (text) => { form.hidden = true; status.textContent = text }
  const confirm = async () => {
    close("Your order is canceled.")
    const page = await ask("cancellation", { headers: { ...headers, accept: "text/html" } }) // the sdk hands on the Response
    Object.assign(receipt, { href: URL.createObjectURL(await page.blob()), hidden: false })
  }
  const offer = await ask("cancel")
  if (offer.reason === "canceled") return confirm()
  if (!offer.cancelable) return close("This order can no longer be canceled.")
  const end = Date.now() + Date.parse(offer.cancelable_until) - Date.parse(offer.server_time) // however wrong this clock is
  const count = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000))
    button.textContent = `Cancel this order (${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left)`
    if (left === 0 && !form.hidden) close("This order can no longer be canceled.")
  }
  form.onsubmit = (event) => {
    const refuse = (error) => { status.textContent = error.message; form.hidden = error.status === 409 }
    ask("cancel", { method: "POST", body: { reason: reason.value } }).then(confirm, refuse) // messages are for shoppers
    event.preventDefault()
  }
  reason.append(...offer.reasons.map(({ code, label }) => new Option(label, code)))
  form.hidden = false
  setInterval(count, 1000, count())
}
