// Small manners that every page shares. Pages ask for them with data- attributes; all of them work without.

function suggestTimeZone(input) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && (!input.value || input.value === input.dataset.suggestZone)) input.value = zone;
}

// A question before a form that undoes something.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A filter applies as soon as it is chosen; its button stays for those without scripts.
document.addEventListener("change", (event) => {
  if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
});

// A failed htmx request is said, never swallowed.
for (const kind of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(kind, (event) => {
    if (event.target.closest?.("[data-quiet]")) return;
    const notices = document.getElementById("notices");
    const line = document.createElement("p");
    line.className = "notice notice-error";
    line.textContent = "That did not reach the server, and nothing was changed. Please try again.";
    notices.replaceChildren(line);
    notices.scrollIntoView({ block: "nearest" });
  });
}

document.querySelectorAll("[data-suggest-zone]").forEach(suggestTimeZone);

// Mail scanners open links but do not wait: an old link acts by itself, a fresh one waits for the button.
document.querySelectorAll("form[data-submit-itself]").forEach((form) => form.requestSubmit());
