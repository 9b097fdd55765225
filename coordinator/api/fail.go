package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/history/historycsv"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func invalid(format string, args ...any) error {
	return &v1.Error{Code: v1.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// missing says that something is not there, and which command lists what is.
func missing(what, name, list string) error {
	return &v1.Error{Code: v1.CodeNotFound, Message: fmt.Sprintf("there is no %s %q", what, name), Remedy: "see glidepath " + list}
}

// unproved says which role a request takes that shows no good token, and how to get a token with it.
func unproved(err error, need proto.Role) error {
	e := &v1.Error{Code: v1.CodeUnauthorised, Message: err.Error()}
	if !errors.Is(err, auth.ErrOver) { // that says it itself
		e.Remedy = fmt.Sprintf("this takes the role %s: ask an admin for a token with it: glidepath token create --role %s", need, need)
	}
	return withDetail(e, v1.ErrorDetail{Role: need})
}

// errorOf returns what a client is told of an error from anywhere.
func errorOf(err error) *v1.Error {
	var (
		told    *v1.Error
		refusal *proto.Refusal
		plan    *planner.Refusal
		denied  *auth.Denied
		long    *http.MaxBytesError
		line    *historycsv.LineError
		fault   *proto.Fault
		leader  *consensus.NotLeaderError
		full    *consensus.WriteError
		step    *proto.StepError
	)
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &refusal):
		return withDetail(&v1.Error{Code: resultCode(refusal.Result.Code), Message: refusal.Result.Message},
			v1.ErrorDetail{Shortfall: refusal.Result.Shortfall})
	case errors.As(err, &plan):
		d := v1.ErrorDetail{Considered: plan.Considered}
		if len(plan.Considered) == 1 {
			d.Shortfall = plan.Considered[0].Shortfall
		}
		code := v1.CodeRefused
		if plan.Invalid {
			code = v1.CodeInvalid
		}
		return withDetail(&v1.Error{Code: code, Message: plan.Reason, Remedy: plan.Remedy}, d)
	case errors.As(err, &denied):
		return withDetail(&v1.Error{
			Code: v1.CodeForbidden, Message: denied.Error(),
			Remedy: fmt.Sprintf("ask an admin for a token with it: glidepath token create --role %s", denied.Need),
		}, v1.ErrorDetail{Role: denied.Need})
	case errors.As(err, &step):
		return withDetail(&v1.Error{Code: v1.CodeInvalid, Message: err.Error()}, v1.ErrorDetail{Step: &v1.StepFault{Step: step.Step, Span: step.Span, Fault: step.Fault}})
	case errors.As(err, &long):
		return &v1.Error{Code: v1.CodeTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", long.Limit), Remedy: "send it in parts"}
	case errors.As(err, &line):
		return &v1.Error{Code: v1.CodeInvalid, Message: line.Error()}
	case errors.As(err, &fault):
		return &v1.Error{Code: v1.CodeRefused, Message: fault.What, Remedy: fault.Remedy}
	case errors.Is(err, planner.ErrNoFleet):
		return &v1.Error{Code: v1.CodeUnavailable, Message: "this coordinator does not know its fleet yet: it is being made, or not caught up with", Remedy: noFleetRemedy}
	case errors.Is(err, consensus.ErrInDoubt):
		return &v1.Error{
			Code: v1.CodeUnavailable, Message: err.Error(),
			Remedy: "it may have been carried out, or may be yet: look, or send it again with the same " + v1.HeaderKey,
		}
	case errors.Is(err, consensus.ErrBehind):
		return &v1.Error{Code: v1.CodeUnavailable, Message: err.Error(), Remedy: "make room there, see glidepath operator raft list, and try again"}
	case errors.As(err, &full):
		return &v1.Error{
			Code: v1.CodeUnavailable, Message: err.Error(),
			Remedy: "make room there, see glidepath status, and send it again with the same " + v1.HeaderKey,
		}
	case errors.As(err, &leader):
		return &v1.Error{Code: v1.CodeUnavailable, Message: err.Error(), Remedy: "see glidepath status, and try again"}
	}
	return &v1.Error{Code: wireCode(err), Message: err.Error()}
}

// noFleetRemedy is what to do when the fleet stays unknown: it cannot be made, and nothing of it learned, without a leader.
const noFleetRemedy = "try again in a moment; if it stays so, see that a majority of the coordinators run and reach each other: journalctl -u glidepathd"

func withDetail(e *v1.Error, d v1.ErrorDetail) *v1.Error {
	text, err := json.Marshal(d)
	if err == nil && string(text) != "{}" {
		e.Detail = text
	}
	return e
}

func resultCode(c proto.ResultCode) v1.Code {
	switch c {
	case proto.ResultRefused:
		return v1.CodeRefused
	case proto.ResultNotFound:
		return v1.CodeNotFound
	case proto.ResultConflict, proto.ResultStale:
		return v1.CodeConflict
	case proto.ResultInvalid:
		return v1.CodeInvalid
	default:
		return v1.CodeInternal
	}
}

// wireCode returns the code of an error that came from an agent or another coordinator, or of running out of time.
func wireCode(err error) v1.Code {
	switch wire.CodeOf(err) {
	case wire.Invalid:
		return v1.CodeInvalid
	case wire.Refused:
		return v1.CodeRefused
	case wire.NotFound:
		return v1.CodeNotFound
	case wire.Conflict:
		return v1.CodeConflict
	case wire.Unavailable, wire.NotLeader, wire.Canceled:
		return v1.CodeUnavailable
	case wire.Deadline:
		return v1.CodeDeadline
	default:
		return v1.CodeInternal
	}
}

func status(c v1.Code) int {
	switch c {
	case v1.CodeInvalid:
		return http.StatusBadRequest
	case v1.CodeUnauthorised:
		return http.StatusUnauthorized
	case v1.CodeForbidden:
		return http.StatusForbidden
	case v1.CodeNotFound:
		return http.StatusNotFound
	case v1.CodeMethod:
		return http.StatusMethodNotAllowed
	case v1.CodeConflict:
		return http.StatusConflict
	case v1.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case v1.CodeMediaType:
		return http.StatusUnsupportedMediaType
	case v1.CodeRefused:
		return http.StatusUnprocessableEntity
	case v1.CodeUnavailable:
		return http.StatusServiceUnavailable
	case v1.CodeDeadline:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// fail answers what went wrong.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := errorOf(err)
	if e.Code == v1.CodeInternal && !errors.Is(err, context.Canceled) {
		s.cfg.Log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	text, jsonErr := json.Marshal(v1.ErrorBody{Error: *e})
	if jsonErr != nil {
		text = []byte(`{"error":{"code":"internal","message":"the error could not be encoded"}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if e.Code == v1.CodeUnauthorised {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(status(e.Code))
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.cfg.Log.Debug("answer", "path", r.URL.Path, "error", err)
	}
}
