/** A page that is not there needs nothing. */
export {};
