package web

import (
	"net/http"

	"leasehold/internal/auth"
)

// A route is one page, and who may call it.
type route struct {
	pattern string
	access  auth.Access
	handler http.Handler
}

// pages is the table of every page with its access.
func (s *Server) pages() []route {
	var rs []route
	add := func(a auth.Access, pattern string, h handler) {
		rs = append(rs, route{pattern, a, s.handle(h)})
	}
	add(auth.Public, "GET /sign-in", signInPage)
	add(auth.Public, "POST /sign-in", signIn)
	add(auth.Public, "POST /sign-out", signOut)
	add(auth.Public, "GET /setup", setupPage)
	add(auth.Public, "POST /setup", setup)
	add(auth.Public, "POST /theme", setTheme)

	add(auth.SignedIn, "GET /{$}", start)
	add(auth.SignedIn, "GET "+portalPath, portal)
	add(auth.SignedIn, "GET /events", portalEvents)
	add(auth.SignedIn, "GET "+accountPath, accountPage)
	add(auth.SignedIn, "POST "+accountPath, saveAccount)
	add(auth.SignedIn, "GET /launch/{id}", launchPage)
	add(auth.SignedIn, "POST /launch/{id}", launch)
	add(auth.SignedIn, "GET "+signInsPath, signInsPage)
	add(auth.SignedIn, "POST "+signInsPath+"/{id}/end", endSignIn)
	add(auth.SignedIn, "POST "+signInsPath+"/end-others", endOtherSignIns)
	add(auth.SignedIn, "GET "+passwordPath, passwordPage)
	add(auth.SignedIn, "POST "+passwordPath, changePassword)
	add(auth.SignedIn, "GET "+tokensPath, tokensPage)
	add(auth.SignedIn, "POST "+tokensPath, newToken)
	add(auth.SignedIn, "POST "+tokensPath+"/{id}/delete", deleteToken)
	add(auth.SignedIn, "GET /sessions/{id}", follow)
	add(auth.SignedIn, "GET /sessions/{id}/events", followEvents)

	add(auth.AdminOnly, "GET /admin", func(c *call) error { return c.redirect("/admin/sessions") })
	add(auth.AdminOnly, "GET /admin/sessions", sessionsPage)
	add(auth.AdminOnly, "GET /admin/sessions/events", sessionsEvents)
	add(auth.AdminOnly, "GET /admin/sessions/filter", filterPage)
	add(auth.AdminOnly, "GET "+streamsPath, sessionsPage)
	add(auth.AdminOnly, "GET "+streamsPath+"/events", sessionsEvents)
	add(auth.AdminOnly, "GET "+streamsPath+"/filter", filterPage)
	for _, list := range []string{sessionsPath, streamsPath} {
		add(auth.AdminOnly, "GET "+list+"/export", exportPage)
		add(auth.AdminOnly, "GET "+list+"/export/begin", beginExport)
		add(auth.AdminOnly, "GET "+list+"/export/file", exportFile)
	}
	add(auth.AdminOnly, "GET /admin/sessions/{id}", sessionPage)
	add(auth.AdminOnly, "GET /admin/sessions/{id}/events", sessionEvents)
	add(auth.AdminOnly, "GET /admin/sessions/{id}/revoke", revokePage)
	add(auth.AdminOnly, "POST /admin/sessions/{id}/revoke", revoke)
	add(auth.AdminOnly, "GET /admin/sessions/{id}/{action}", actPage)
	add(auth.AdminOnly, "POST /admin/sessions/{id}/{action}", act)

	add(auth.AdminOnly, "GET /admin/batches", batchesPage)
	add(auth.AdminOnly, "POST /admin/batches", newBatch)
	add(auth.AdminOnly, "GET /admin/batches/{id}", batchPage)
	add(auth.AdminOnly, "GET /admin/batches/{id}/events", batchEvents)
	add(auth.AdminOnly, "POST /admin/batches/{id}/run", runBatch)
	add(auth.AdminOnly, "POST /admin/batches/{id}/stop", stopBatch)

	for _, k := range kinds() {
		base := k.path
		add(auth.AdminOnly, "GET "+base, k.list)
		if k.create != nil {
			add(auth.AdminOnly, "GET "+base+"/new", k.blank)
			add(auth.AdminOnly, "POST "+base, k.create)
		}
		add(auth.AdminOnly, "GET "+base+"/{id}", k.edit)
		add(auth.AdminOnly, "POST "+base+"/{id}", k.save)
		add(auth.AdminOnly, "GET "+base+"/{id}/{change}", k.changePage)
		add(auth.AdminOnly, "POST "+base+"/{id}/{change}", k.change)
	}
	add(auth.AdminOnly, "GET "+keysPath, keysPage)
	add(auth.AdminOnly, "POST "+keysPath, newKey)
	add(auth.AdminOnly, "GET "+keysPath+"/new", newKeyPage)
	add(auth.AdminOnly, "GET "+keysPath+"/{id}", keyPage)
	add(auth.AdminOnly, "GET "+keysPath+"/{id}/revoke", revokeKeyPage)
	add(auth.AdminOnly, "POST "+keysPath+"/{id}/revoke", revokeKey)
	add(auth.AdminOnly, "GET /admin/pick/{kind}", pick)
	add(auth.AdminOnly, "GET /admin/audit", auditPage)
	add(auth.AdminOnly, "GET /admin/audit/export", auditExport)
	add(auth.AdminOnly, "GET /admin/audit/{id}", auditEntryPage)
	add(auth.AdminOnly, "GET /admin/settings", settingsPage)
	add(auth.AdminOnly, "POST /admin/settings", saveSettings)
	add(auth.AdminOnly, "GET /admin/settings/housekeeping", housekeepPage)
	add(auth.AdminOnly, "POST /admin/settings/housekeeping", housekeep)

	add(auth.AdminOnly, "/admin/", notFound)
	add(auth.Public, "/", elsewhere)
	return rs
}
