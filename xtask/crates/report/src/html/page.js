"use strict";
// Shows the tests that match, and opens what a link points to.
(() => {
  const tests = [...document.querySelectorAll(".test")];
  const suites = [...document.querySelectorAll(".suite")];
  const form = document.getElementById("filter");
  if (form) {
    const text = document.getElementById("text");
    const shown = document.getElementById("shown");
    const none = document.getElementById("none");
    const buttons = [...form.querySelectorAll("button")];
    const words = new Map(
      tests.map((test) => {
        const suite = test.closest(".suite").querySelector("h3").textContent;
        const name = test.querySelector(".name").textContent;
        return [test, `${suite}/${name} ${test.textContent}`.toLowerCase()];
      })
    );
    const before = new Map(suites.map((suite) => [suite, suite.open]));
    let show = "all";
    const matches = (test, want) =>
      (show === "all" ||
        (show === "bad" ? "bad" in test.dataset : test.dataset.verdict === show)) &&
      words.get(test).includes(want);
    const apply = () => {
      const want = text.value.trim().toLowerCase();
      const narrow = show !== "all" || want !== "";
      let count = 0;
      for (const test of tests) {
        test.hidden = !matches(test, want);
        count += test.hidden ? 0 : 1;
      }
      for (const suite of suites) {
        suite.hidden = !suite.querySelector(".test:not([hidden])");
        suite.open = narrow || before.get(suite);
      }
      none.hidden = count > 0;
      shown.textContent = narrow ? `${count} of ${tests.length} shown` : "";
    };
    const choose = (button) => {
      show = button.dataset.show;
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      apply();
    };
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    text.addEventListener("input", apply);
    for (const button of buttons) button.addEventListener("click", () => choose(button));
    window.showAllTests = () => {
      text.value = "";
      choose(buttons[0]);
    };
  }
  const follow = () => {
    const at = document.getElementById(location.hash.slice(1));
    if (!at || !at.classList.contains("test")) return;
    if (at.hidden) window.showAllTests();
    at.closest(".suite").open = true;
    const own = at.querySelector("details");
    if (own) own.open = true;
    at.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  follow();
})();
