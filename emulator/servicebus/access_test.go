package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"

	sb "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
	goamqp "github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

// roundTrip sends and receives on a client.
func (r *rig) roundTrip(c *sb.Client) {
	r.t.Helper()
	r.client = c
	r.send("q", text("hello"))
	x := r.receiver("q", nil)
	r.must(x.CompleteMessage(r.t.Context(), r.one(x), nil))
	r.must(c.Close(context.Background()))
}

func TestTLS(t *testing.T) {
	r := start(t, servicebus.Options{})
	o := &sb.ClientOptions{TLSConfig: r.server.TLS()}
	c, err := sb.NewClientFromConnectionString(r.server.TLSConnectionString(), o)
	r.must(err)
	r.roundTrip(c)
}

func TestWebSocket(t *testing.T) {
	r := start(t, servicebus.Options{})
	for scheme, cs := range map[string]string{"ws": r.server.ConnectionString(), "wss": r.server.TLSConnectionString()} {
		t.Run(scheme, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: r.server.TLS()}
			defer transport.CloseIdleConnections()
			c, err := sb.NewClientFromConnectionString(cs, &sb.ClientOptions{
				NewWebSocketConn: func(ctx context.Context, args sb.NewWebSocketConnArgs) (net.Conn, error) {
					_, rest, _ := strings.Cut(args.Host, "://")
					ws, _, err := websocket.Dial(ctx, scheme+"://"+rest,
						&websocket.DialOptions{Subprotocols: []string{"amqp"}, HTTPClient: &http.Client{Transport: transport}})
					if err != nil {
						return nil, fmt.Errorf("dial %s: %w", args.Host, err)
					}
					return websocket.NetConn(context.Background(), ws, websocket.MessageBinary), nil
				},
			})
			r.must(err)
			r.roundTrip(c)
		})
	}
}

// TestInABubble runs the real client and the server without a port, in time that passes by itself.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := servicebustest.New(t, servicebustest.InMemory, servicebustest.Namespace(namespace()))
		c := server.Client(nil)
		r := &rig{t: t, server: server, client: c}
		r.send("s", in("A", "x"))
		x := r.accept("s", "A")
		r.one(x)
		began := time.Now()
		r.must(server.Await(t.Context(), func() bool { return server.Messages("s")[0].DeliveryCount == 1 }))
		if waited := time.Since(began); waited != entity.DefaultLockDuration {
			t.Errorf("the session lock lived for %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		other, err := c.AcceptNextSessionForQueue(ctx, "s", nil)
		if err != nil || other.SessionID() != "A" {
			t.Fatal(err)
		}
		_, err = c.AcceptNextSessionForQueue(ctx, "s", nil)
		if se, ok := errors.AsType[*sb.Error](err); !ok || se.Code != sb.CodeTimeout {
			t.Errorf("no free session: %v", err)
		}
	})
}

func TestAdministration(t *testing.T) {
	r := start(t, servicebus.Options{})
	a := r.server.Admin()
	_, err := a.CreateQueue(t.Context(), "new", &admin.CreateQueueOptions{
		Properties: &admin.QueueProperties{RequiresSession: new(true)},
	})
	r.must(err)
	r.send("new", in("A", "x"))
	props, err := a.GetQueueRuntimeProperties(t.Context(), "new", nil)
	r.must(err)
	if props.ActiveMessageCount != 1 {
		t.Errorf("%+v", props)
	}
	x := r.accept("new", "A")
	_, err = a.DeleteQueue(t.Context(), "new", nil)
	r.must(err)
	if err := x.RenewSessionLock(brief(t), nil); err == nil {
		t.Error("renewed in a deleted queue")
	}
}

func TestKeys(t *testing.T) {
	n := namespace()
	right := func(name string, rights ...entity.Right) entity.AuthorizationRule {
		return entity.AuthorizationRule{Name: name, Key: "key of " + name, SecondaryKey: "second of " + name, Rights: rights}
	}
	n.AuthorizationRules = []entity.AuthorizationRule{right("root", entity.Manage, entity.Send, entity.Listen),
		right("sender", entity.Send), right("listener", entity.Listen)}
	n.Queues[0].AuthorizationRules = []entity.AuthorizationRule{right("own", entity.Send, entity.Listen)}
	r := start(t, servicebus.Options{Namespace: n})
	try := func(name, key, queue string) (send, receive error) {
		c, err := sb.NewClientFromConnectionString(fmt.Sprintf(
			"Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", r.server.Addr(), name,
			key), nil)
		r.must(err)
		defer func() { r.must(c.Close(context.Background())) }()
		s, err := c.NewSender(queue, nil)
		r.must(err)
		send = s.SendMessage(t.Context(), text("x"), nil)
		x, err := c.NewReceiverForQueue(queue, nil)
		r.must(err)
		_, receive = x.PeekMessages(t.Context(), 1, nil)
		return send, receive
	}
	for _, c := range []struct {
		name, key, queue string
		sends, listens   bool
	}{
		{"root", "key of root", "q", true, true},
		{"root", "second of root", "q", true, true},
		{"root", "guess", "q", false, false},
		{"nobody", "key of root", "q", false, false},
		{"sender", "key of sender", "q", true, false},
		{"listener", "key of listener", "q", false, true},
		{"own", "key of own", "q", true, true},
		{"own", "key of own", "dup", false, false},
	} {
		t.Run(c.name+" "+c.key+" "+c.queue, func(t *testing.T) {
			send, receive := try(c.name, c.key, c.queue)
			if (send == nil) != c.sends || (receive == nil) != c.listens {
				t.Errorf("send: %v, receive: %v", send, receive)
			}
			for _, err := range []error{send, receive} {
				if se, ok := errors.AsType[*sb.Error](err); err != nil && (!ok || se.Code != sb.CodeUnauthorizedAccess) {
					t.Errorf("%v is not CodeUnauthorizedAccess", err)
				}
			}
		})
	}
}

// TestNoClaimNoLink attaches without having shown a token.
func TestNoClaimNoLink(t *testing.T) {
	r := start(t, servicebus.Options{})
	c, err := goamqp.Dial(t.Context(), "amqp://"+r.server.Addr(),
		&goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous()})
	r.must(err)
	defer func() { _ = c.Close() }() // the server goes as well
	s, err := c.NewSession(t.Context(), nil)
	r.must(err)
	for _, address := range []string{"q", "q/$management", "nowhere"} {
		_, err = s.NewReceiver(t.Context(), address, nil)
		if ae, ok := errors.AsType[*goamqp.Error](err); !ok || ae.Condition != goamqp.ErrCondUnauthorizedAccess {
			t.Errorf("%s: %v", address, err)
		}
	}
	_, err = goamqp.Dial(t.Context(), "amqp://"+r.server.Addr(),
		&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain("RootManageSharedAccessKey", "guess")})
	if err == nil {
		t.Error("PLAIN with a wrong key")
	}
}

// TestTokenExpires detaches the links of a token whose time is over; tokens follow the machine's clock, here that of
// the bubble.
func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := servicebustest.New(t, servicebustest.InMemory, servicebustest.Namespace(namespace()))
		nc, err := server.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := goamqp.NewConn(t.Context(), nc, &goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous(),
			HostName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.NewSession(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if code := putToken(t, s, "amqp://localhost/q",
			sas("amqp://localhost/q", "SAS_KEY_VALUE", -time.Minute)); code != 401 {
			t.Errorf("an expired token: %d", code)
		}
		if code := putToken(t, s, "amqp://localhost/q",
			sas("amqp://localhost/dup", "SAS_KEY_VALUE", time.Hour)); code != 401 {
			t.Errorf("a token for another entity: %d", code)
		}
		if code := putToken(t, s, "amqp://localhost/nowhere",
			sas("amqp://localhost/", "SAS_KEY_VALUE", time.Hour)); code != 404 {
			t.Errorf("an unknown entity: %d", code)
		}
		began := time.Now()
		if code := putToken(t, s, "amqp://localhost/q", sas("amqp://localhost/", "SAS_KEY_VALUE", time.Hour)); code != 202 {
			t.Fatalf("a good token: %d", code)
		}
		x, err := s.NewReceiver(t.Context(), "q", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = x.Receive(t.Context(), nil)
		le, ok := errors.AsType[*goamqp.LinkError](err)
		if !ok || le.RemoteErr == nil || le.RemoteErr.Condition != goamqp.ErrCond(amqp.UnauthorizedAccess) {
			t.Errorf("%v", err)
		}
		if lived := time.Since(began); lived < time.Hour-2*time.Second || lived > time.Hour {
			t.Errorf("the link lived for %v", lived)
		}
		_ = c.Close() // the server closes the pipe as soon as it has answered
	})
}
