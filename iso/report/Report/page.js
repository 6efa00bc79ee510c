// Sorts a table by the column whose heading is clicked: numbers first by their value, once more the other way round; what is no number comes last.
// Opens the rows that a link leads to, where a browser does not do that itself.
"use strict";
const value = (row, column) => {
    const text = row.cells[column].textContent;
    const number = parseFloat(text.replace(/^\x3c/, "").replace(/,/g, ""));
    return Number.isNaN(number) ? text : number;
};
const order = (a, b) => typeof a === typeof b ? (a > b) - (b > a) : typeof a === "number" ? -1 : 1;
const sort = (heading) => {
    const column = heading.cellIndex, body = heading.closest("table").tBodies[0];
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [value(row, column), row]).sort((a, b) => order(a[0], b[0]));
    body.append(...(up ? rows : rows.reverse()).map((pair) => pair[1]));
};
for (const heading of document.querySelectorAll("thead th")) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.title = "Sort";
    button.addEventListener("click", () => sort(heading));
    heading.append(button);
}
const reveal = () => {
    const row = document.getElementById(location.hash.slice(1));
    const fold = row ? row.closest("details") : null;
    if (fold) {
        fold.open = true;
        row.scrollIntoView();
    }
};
addEventListener("hashchange", reveal);
reveal();
