/** The inspector alone. */
import "./inspection.js";
