// Package web is the face that people see: the portal where users launch apps
// and the pages where administrators watch and end sessions.
//
// Pages are rendered on the server by templ and work as plain links and forms;
// the script bundled from web/ makes them live. Handlers only translate between
// HTTP and internal/control: which action a session offers, who may launch what
// and whether a field is valid is decided there and shown here.
//
// Three rules keep the pages honest:
//
//   - the URL is the state: filters, sort and page stand in the query;
//   - nothing inline: the content security policy allows scripts and styles from
//     this origin only, so no handler, style attribute or data: URL is rendered (the
//     viewer alone draws pictures from data: URLs that its script makes);
//   - every route says in one table (routes.go) who may call it.
package web
