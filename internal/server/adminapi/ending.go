package adminapi

import "leasehold/internal/control"

// EndingBody is what a change may say of the sessions that it leaves without entitlement.
type EndingBody struct {
	EndRunning Change[bool]   `json:"end_running,omitempty" doc:"Evict at once what runs without entitlement after this; else it is refused at its next renewal"`
	Reason     Change[string] `json:"reason,omitempty" maxLength:"500" doc:"For the audit log, and for those whose sessions end"`
}

func (b *EndingBody) ending() control.Ending {
	return control.Ending{Now: b.EndRunning.value, Reason: b.Reason.value}
}

// DeleteInput is the number of what is deleted, and what becomes of its sessions.
type DeleteInput struct {
	IDInput
	EndRunning bool   `query:"end_running" doc:"Evict at once what runs without entitlement after this; else it is refused at its next renewal"`
	Reason     string `query:"reason" maxLength:"500" doc:"For the audit log, and for those whose sessions end"`
}

func (in *DeleteInput) ending() control.Ending {
	return control.Ending{Now: in.EndRunning, Reason: in.Reason}
}
