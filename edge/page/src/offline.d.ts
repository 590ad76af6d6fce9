// The build puts the client's ranking on devices beside the page as offline.js; these are its types.
export * from "../../client/dist/offline.js";
