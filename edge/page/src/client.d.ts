// The build puts the client beside the page as client.js; these are its types.
export * from "../../client/dist/index.js";
