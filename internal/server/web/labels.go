package web

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"leasehold/internal/invalid"
)

// labels are what the pages call the API's fields, so that a message about one speaks of what
// its reader sees. Where records call a field differently its name is led by the record's. A
// test compares them with the pages.
var labels = map[string]string{
	"name": "Name", "username": "User name", "email": "Email", "role": "Role", "password": "Password", "current_password": "Current password", "new_password": "New password", "description": "Description",
	"user_ids": "Users", "group_ids": "Groups", "delivery_method_ids": "Delivery methods", "enabled": "Enabled",
	"starts_at": "Begins", "ends_at": "Ends", "device_ownership": "Devices", "networks": "Networks", "ownership": "Whose it is", "pool": "Pool",
	"provision.ownership": "Devices", "app_id": "App", "kind": "Where it runs", "licence.type": "Licence", "licence.seats": "Seats",
	"licence.offline_seconds": "Offline duration", "heartbeat_seconds": "Heartbeat", "settings.heartbeat_seconds": "Default heartbeat", "warnings_seconds": "Warnings",
	"successor_id": "Successor", "packages": "Packages", "stream": "Stream settings", "stream.geometry": "Size at first", "stream.pool": "Pool of hosts", "stream.sandbox": "Sandbox", "stream.network": "Network", "stream.allow": "Private addresses to allow",
	"stream.reconnect_seconds": "Reconnection window", "stream.idle_seconds": "Idle limit", "stream.max_seconds": "Longest duration",
	"packages.type": "Type", "packages.os": "System", "packages.arch": "Processor", "packages.url": "Address", "packages.sha256": "SHA-256",
	"packages.reference": "Reference", "packages.command": "Command", "reason": "Reason", "end_running": "End running sessions now",
	"housekeeping_hour": "Hour", "time_zone": "Time zone", "stopped_days": "Stopped", "launched_days": "Launched", "idle_days": "Added or evicted",
	"must_change_password": "Must change password", "history_days": "History", "audit_days": "Audit log", "host_slots": "Sessions of a host", "signing_key_days": "Signing key", "user_sessions": "Sessions of a user", "user_unredeemed": "Unopened links", "user_launches_per_minute": "Launches a minute", "user_event_streams": "Live pages", "user_viewers": "Viewers", "sign_in_idle_seconds": "Unused for", "sign_in_seconds": "Longest sign-in", "uses": "Machines", "scopes": "It may", "days": "Good for", "expires_at": "Good for", "force_seconds": "Force margin", "wait_seconds": "Authorisation wait", "reason_required": "A reason is mandatory",

	// Of addresses:
	"address.kind": "Kind",
	"q":            "Search", "status": "Status", "user_id": "User", "provision_id": "Provision", "delivery_method_id": "Delivery method", "device_id": "Device", "host_id": "Host",
	"from": "From", "to": "To", "tz": "Time zone", "older_seconds": "Started", "silent_seconds": "Silent for", "sort": "Order", "delivery_method": "Delivery method", "started_at": "Start time", "last_activity_at": "Last activity", "page_size": "Page size", "page_token": "Page",
	"as_of": "Time of the list", "contains": "Contains", "history": "History", "text": "Text", "n": "Message",
}

// number of a package in a field's name.
var packageNumber = regexp.MustCompile(`^packages\.[0-9]+\.`)

// labelOf is what the pages call a field.
func labelOf(name string) string {
	if l := labels[packageNumber.ReplaceAllString(name, "packages.")]; l != "" {
		return l
	}
	return title(strings.ReplaceAll(label(name), ".", " "))
}

// fieldWord is what can only be a field of the API in the text of a message.
var fieldWord = regexp.MustCompile(`\b[a-z]+([._][a-z]+)+\b`)

// inLabels writes a message with the pages' labels in place of names of the API.
func inLabels(message string) string {
	return fieldWord.ReplaceAllStringFunc(message, func(word string) string {
		if l := labels[word]; l != "" {
			return "“" + l + "”"
		}
		return word
	})
}

// rangeOf is a message about a number that is too small or too large.
var rangeOf = regexp.MustCompile(`^must be between ([0-9]+) and ([0-9]+)( seconds each)?$`)

// sayOf is what is wrong with a field as the pages say it: a length of time has its unit.
func sayOf(f invalid.Field) string {
	if m := rangeOf.FindStringSubmatch(f.Message); m != nil && strings.HasSuffix(f.Name, "_seconds") {
		from, _ := strconv.Atoi(m[1]) // digits, by the pattern
		to, _ := strconv.Atoi(m[2])
		each := ""
		if m[3] != "" {
			each = " each"
		}
		return "must be between " + cmp.Or(duration(from), "0 s") + " and " + duration(to) + each
	}
	return inLabels(f.Message)
}

// sentences says everything that is wrong with an address, each with its label.
func sentences(e invalid.Error) string {
	var out []string
	for _, f := range e {
		out = append(out, cmp.Or(labels["address."+f.Name], labelOf(f.Name))+" "+sayOf(f)+".")
	}
	return strings.Join(out, " ")
}

// fieldName is the label of a record's field: of a provision "StartsAt" is "Begins".
func fieldName(record any, name string) string {
	var words []string
	for _, r := range strings.TrimSuffix(strings.TrimSuffix(name, "IDs"), "ID") {
		if len(words) == 0 || unicode.IsUpper(r) {
			words = append(words, "")
		}
		words[len(words)-1] += string(unicode.ToLower(r))
	}
	key := strings.Join(words, "_")
	for _, end := range []string{"IDs", "ID"} {
		if strings.HasSuffix(name, end) {
			key += "_" + strings.ToLower(end)
			break
		}
	}
	kind := strings.ToLower(reflect.Indirect(reflect.ValueOf(record)).Type().Name())
	for _, k := range []string{fmt.Sprintf("%s.%s", kind, key), key} {
		if l := labels[k]; l != "" {
			return l
		}
	}
	return title(strings.Join(words, " "))
}
