"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

/** New element; children may be strings, which are text and never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const range = (count) => [...Array(count).keys()];
const byId = (id) => document.getElementById(id);

/** Numbers of a packed array, in C order, decoded once. */
function unpacked(array) {
  if (!array.values) {
    const bytes = Uint8Array.from(atob(array.data), (letter) => letter.charCodeAt(0));
    const steps = array.size === 1 ? bytes : new Uint16Array(bytes.buffer);
    const width = (array.high - array.low) / (array.size === 1 ? 255 : 65535);
    array.values = Float32Array.from(steps, (step) => array.low + step * width);
    delete array.data;
  }
  return array.values;
}

// A text beside the pointer, or beside the focused element; screen readers hear it.
const tip = document.body.appendChild(el("div", { id: "tip", role: "status", hidden: true }));

function showTip(text, near) {
  tip.textContent = text;
  tip.hidden = false;
  const box = near.getBoundingClientRect();
  const left = Math.min(box.right + 6, innerWidth - tip.offsetWidth - 6);
  const below = box.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(6, left)}px`;
  tip.style.top = `${below ? box.bottom + 6 : Math.max(6, box.top - tip.offsetHeight - 6)}px`;
}

const hideTip = () => { tip.hidden = true; };
addEventListener("scroll", hideTip, { passive: true, capture: true });

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Switch between light and dark, and let the page draw again what does not follow by itself. */
function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  dispatchEvent(new Event("theme"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
byId("theme")?.addEventListener("click", switchTheme);

/** True while keys belong to a field. */
const typing = (event) => event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
