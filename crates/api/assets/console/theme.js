// A classic script in the head, so that the chosen scheme is there before anything is painted.
"use strict";
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("hexline-theme");
  } catch {
    // Storage may be refused: the system's scheme it is.
  }
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
})();
