"use strict";
// Asks for the content of a run before anything else is loaded.
const asked = new URLSearchParams({ run: JSON.parse(document.getElementById("data").textContent).live });
let content = fetch(`/content?${asked}`);
