// A countdown, a button and a message inside `box`. `token` comes from the mail; customers who are logged in need none.
export async function cancelButton(sdk, box, orderId, token) {
  const headers = token ? { "x-modification-token": token } : {}
  const ask = (method) => sdk.client.fetch(`/store/orders/${orderId}/cancel`, { method, headers })
  const [button, message] = ["button", "p"].map((tag) => box.appendChild(document.createElement(tag)))
  const say = (error) => { message.textContent = error.status ? error.message : "Please try again in a moment." }
  let ends = 0 // by this browser's clock, which may be wrong: only the server's difference is used
  const tick = () => {
    const left = Math.max(0, Math.round((ends - Date.now()) / 1000))
    button.hidden = left === 0
    button.textContent = `Cancel order (${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left)`
  }
  const show = (order) => {
    ends = order.cancelable ? Date.now() + Date.parse(order.cancelable_until) - Date.parse(order.server_time) : 0
    if (order.reason === "canceled") message.textContent = "Your order is canceled."
  }
  button.onclick = async () => {
    button.disabled = true
    await ask("POST").catch(say)
    await ask("GET").then(show, say).finally(tick)
    button.disabled = false
  }
  message.role = "status"
  setInterval(tick, 1000)
  await ask("GET").then(show, say).finally(tick)
}
