"use strict";
// Asks for the content of a run before Plotly, which is large, has been loaded.
const asked = new URLSearchParams({ run: JSON.parse(document.getElementById("data").textContent).live });
let content = fetch(`/content?${asked}`);
