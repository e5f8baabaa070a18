package trunkline

import "github.com/trunkline/trunkline/internal/realtime"

// Reply is the answer to a client's push. The zero Reply is NoReply.
type Reply struct {
	status   string
	response any
	job      *Job // of Offload
}

// NoReply answers nothing; the channel may answer later through Socket.Ref.
var NoReply = Reply{}

// OK answers with status "ok". A nil response is {}.
func OK(response any) Reply { return Reply{status: "ok", response: response} }

// Fail answers with status "error": the client's receive("error").
func Fail(response any) Reply { return Reply{status: "error", response: response} }

// Status answers with a status of the application's own.
func Status(status string, response any) Reply { return Reply{status: status, response: response} }

func (r Reply) encode() (realtime.Reply, error) {
	if r.status == "" {
		return realtime.Reply{}, nil
	}
	p, err := encode(r.response)
	return realtime.Reply{Status: r.status, Response: p}, err
}

// Ref is where the answer to one push goes. It may be kept and used from any
// goroutine, and more than once.
type Ref struct{ ref realtime.Ref }
