package web

import (
	"strings"
	"time"
)

const signInsPath = "/account/signins"

// A signInRow is one of a person's own sign-ins as its page shows it.
type signInRow struct {
	ID          int64
	Browser     string
	From        string
	Began, Seen time.Time
	This        bool // the one that the page was asked for by
}

// signInsPage lists the person's own sign-ins.
func signInsPage(c *call) error {
	list, err := c.Control.SignIns(c.r.Context(), c.who())
	if err != nil {
		return err
	}
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return err
	}
	rows := make([]signInRow, len(list))
	for i, x := range list {
		rows[i] = signInRow{x.ID, browserName(x.Browser), x.From, x.CreatedAt, x.SeenAt, x.ID == signInOf(c.r)}
	}
	now := time.Now()
	limits := "One ends when nobody has used it for " + words(time.Duration(set.SignInIdleSeconds)*time.Second) + ", and after " + words(time.Duration(set.SignInSeconds)*time.Second) + " in any case."
	return c.show(page{Title: "Your sign-ins", Portal: true, Now: now}, signInsView(rows, limits, now))
}

// endSignIn ends one of the person's own sign-ins.
func endSignIn(c *call) error {
	if c.id() == signInOf(c.r) {
		return signOut(c)
	}
	if err := c.Control.EndSignIn(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	c.setFlash(toast{Text: "The sign-in is ended."})
	return c.redirect(signInsPath)
}

// endOtherSignIns ends all of the person's own sign-ins but this one.
func endOtherSignIns(c *call) error {
	if err := c.Control.EndOtherSignIns(c.r.Context(), c.who(), signInOf(c.r)); err != nil {
		return err
	}
	c.setFlash(toast{Text: "All other sign-ins are ended."})
	return c.redirect(signInsPath)
}

// browserName is what people call a browser and its system, by what it calls itself. The
// first that fits is it: most browsers also call themselves by the names of older ones.
func browserName(agent string) string {
	first := func(of [][2]string) string {
		for _, x := range of {
			if strings.Contains(agent, x[0]) {
				return x[1]
			}
		}
		return ""
	}
	name := first([][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}})
	system := first([][2]string{{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}})
	switch {
	case name == "":
		return "Unknown browser"
	case system == "":
		return name
	}
	return name + " on " + system
}
