package inbound

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
)

const otherJob = "99999999-8f6d-4b7e-9a8e-3d3f3f1f7c11"

// aSecondJob leads the files of the entity "Other" to another job of the same environment, and makes F&O refuse its posts.
func (w *world) aSecondJob(refuse func(*http.Request) *http.Response) {
	w.routes = func(r *running, standard Route) []*Route {
		other := standard
		other.Name, other.Match, other.Activity = "other", contract.Pair{Entity: "Other"}, otherJob
		return []*Route{&other, &standard}
	}
	w.fno.shape = func(op string, req *http.Request) (*http.Response, error) {
		if op == "post" && strings.Contains(req.URL.Path, otherJob) {
			return refuse(req), nil
		}
		return nil, nil
	}
}

// F&O admits clients by job. One that refuses costs the others nothing, is asked ever more rarely, and goes on by itself.
func TestAJobThatRefusesIsClosedAlone(t *testing.T) {
	for _, status := range []int{401, 403, 404, 410} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.b.lock = 5 * time.Minute
				began, refusals := time.Now(), 0
				over := began.Add(10 * time.Hour)
				w.aSecondJob(func(*http.Request) *http.Response {
					if time.Now().After(over) {
						return nil
					}
					refusals++
					return reply(status, "not in the authorization policy")
				})
				w.send("Other", "refused", "good")
				w.send("Other", "behind it", "good")
				w.fill(8, 20, nil)
				r := w.start()
				var env, job, good announced
				env.watch(r.env.Gate())
				job.watch(r.env.Job(otherJob))
				good.watch(r.env.Job(theActivity))
				w.waitFor("the files of the good job", func() bool { return w.b.left() == 2 })
				if took := time.Since(began); took > 20*4*time.Second {
					t.Errorf("the good job took %s", took)
				}
				if s := r.env.Job(otherJob).State(); s.Open() || s.Detail != "not in the authorization policy" {
					t.Errorf("%+v", s)
				}
				w.drained()
				if env.paused+good.paused > 0 || job.paused != 1 || job.resumed != 1 {
					t.Errorf("said of the environment %+v, of the job %+v, of the good one %+v", env, job, good)
				}
				if want := map[int]failure.Reason{401: failure.Unauthorized, 403: failure.Forbidden}[status]; want != "" && job.reasons[0] != want {
					t.Errorf("closed for %v", job.reasons)
				}
				if refusals > 10*60/2 { // every five minutes, jittered by half
					t.Errorf("asked %d times in ten hours", refusals)
				}
				if time.Since(over) > 10*time.Minute {
					t.Errorf("it went on %s after it was let in", time.Since(over))
				}
				if report := w.check(); report.Processed != 162 || report.Unknown > 0 {
					t.Errorf("%+v", report)
				}
			})
		})
	}
}

// A job that takes what it is sent and never answers well is found out by one file after the other, ever more slowly; the
// rest of the environment does not notice.
func TestAJobThatOnlyBreaksCostsFewFiles(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		began := time.Now()
		w.aSecondJob(func(req *http.Request) *http.Response {
			resp, _ := swallowing(saying(502, "bad gateway"))("post", req)
			return resp
		})
		for n := range 1000 {
			w.send("Other", fmt.Sprintf("doubtful %d", n), "good")
		}
		w.fill(4, 10, nil)
		r := w.start()
		var env, job announced
		env.watch(r.env.Gate())
		job.watch(r.env.Job(otherJob))
		w.waitFor("the files of the good job", func() bool { return w.b.left() <= 1000 && time.Since(began) > 0 && w.goodOnes() == 40 })
		if took := time.Since(began); took > 10*4*time.Second {
			t.Errorf("the good job took %s", took)
		}
		pass(time.Until(began.Add(time.Hour)))
		w.b.mu.Lock()
		dead := len(w.b.dead)
		w.b.mu.Unlock()
		if dead > 30 || env.paused > 0 || job.paused != 1 {
			t.Errorf("%d in doubt in an hour; said of the environment %+v, of the job %+v", dead, env, job)
		}
		w.check()
	})
}

// goodOnes counts what F&O has imported.
func (w *world) goodOnes() int {
	w.fno.mu.Lock()
	defer w.fno.mu.Unlock()
	n := 0
	for _, i := range w.fno.imports {
		if i.ends.Before(time.Now()) {
			n++
		}
	}
	return n
}

// What only one file does to F&O is that file's: its job goes on.
func TestAFileThatBreaksFnoClosesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.shape = func(op string, req *http.Request) (*http.Response, error) {
			if op == "post" && req.Header.Get("x-ms-dyn-externalidentifier") == "s0-f3" {
				return swallowing(saying(500, "it breaks"))(op, req)
			}
			return nil, nil
		}
		w.fill(4, 10, nil)
		r := w.start()
		var env, job announced
		env.watch(r.env.Gate())
		job.watch(r.env.Job(theActivity))
		w.drained()
		if report := w.check(); report.Processed != 39 || report.Unknown != 1 || env.paused+job.paused > 0 {
			t.Errorf("%+v; %+v, %+v", report, env, job)
		}
	})
}
