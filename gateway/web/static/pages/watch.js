import "../lib/shell.js";
