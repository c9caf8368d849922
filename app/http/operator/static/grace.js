// Only comfort: every page reads and every form works without it.
"use strict";

// Times in the reader's own time zone, which is named.
function local(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent.trim();
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    }
  }
}

// While somebody writes in a part of the page, or presses a button there, it is not renewed. Whatever else has the focus
// has an id as well, by which htmx gives the focus back.
function busy(part) {
  return part.contains(document.activeElement) && document.activeElement.matches("input, textarea")
    || part.querySelector("details[open], form[data-sent], :active") !== null;
}

// A page that could not be renewed says so, until it can.
function stale(is) {
  const line = document.getElementById("stale");
  if (line) line.hidden = !is;
}

document.addEventListener("DOMContentLoaded", () => local(document));
document.addEventListener("htmx:load", (event) => local(event.detail.elt));
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches("[data-poll]") && (document.hidden || busy(event.target))) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.matches("[data-poll]") && busy(event.target)) event.preventDefault();
});

document.addEventListener("htmx:afterRequest", (event) => {
  const { status } = event.detail.xhr;
  stale(status === 0 || status >= 500);
});

// A form is sent once. The server does it once in any case.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) {
    event.preventDefault();
    return;
  }
  event.target.dataset.sent = "yes";
  for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
});

// Back from the browser's memory: forms can be sent again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
