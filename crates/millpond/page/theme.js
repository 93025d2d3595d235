// Before anything is painted: light or dark, if somebody chose.
const chosen = localStorage.getItem("millpond-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
