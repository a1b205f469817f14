// Command service-controller is Kubernetes' own service controller, as every cloud-controller-manager embeds it, over a
// cloud that has a load balancer at once: a bench measures it beside ours.
//
// It asks for protobuf, as Kubernetes' own controllers do, and nothing holds its requests back, where a
// cloud-controller-manager sends 20 a second unless told otherwise.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"log"
	"net/netip"
	"os/signal"
	"sync/atomic"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/service"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/metrics/prometheus/controllers"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "leads to the API server")
	workers := flag.Int("workers", 1, "how many Services are looked at at once")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal("the kubeconfig is of no use: ", err)
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal("no client can be made: ", err)
	}

	end, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	shared := informers.NewSharedInformerFactory(client, 0)
	core := shared.Core().V1()
	controller, err := service.New(&cloud{}, client, core.Services(), core.Nodes(), "bench", featuregate.NewFeatureGate())
	if err != nil {
		log.Fatal("the controller cannot be made: ", err)
	}
	shared.Start(end.Done())
	controller.Run(end, *workers, controllers.NewControllerManagerMetrics("bench"))
}

// cloud has addresses, and nothing else.
type cloud struct {
	cloudprovider.Interface
	handedOut atomic.Uint32
}

func (c *cloud) ProviderName() string                             { return "bench" }
func (c *cloud) HasClusterID() bool                               { return true }
func (c *cloud) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return c, true }

func (c *cloud) GetLoadBalancer(_ context.Context, _ string, s *v1.Service) (*v1.LoadBalancerStatus, bool, error) {
	return &s.Status.LoadBalancer, len(s.Status.LoadBalancer.Ingress) > 0, nil
}

func (c *cloud) GetLoadBalancerName(_ context.Context, _ string, s *v1.Service) string {
	return cloudprovider.DefaultLoadBalancerName(s)
}

func (c *cloud) EnsureLoadBalancer(_ context.Context, _ string, s *v1.Service, _ []*v1.Node) (*v1.LoadBalancerStatus, error) {
	if len(s.Status.LoadBalancer.Ingress) > 0 {
		return &s.Status.LoadBalancer, nil
	}
	// 198.18.0.0/15, as the bench's pool.
	ip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 198<<24|18<<16|c.handedOut.Add(1))))
	return &v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: ip.String()}}}, nil
}

func (c *cloud) UpdateLoadBalancer(context.Context, string, *v1.Service, []*v1.Node) error {
	return nil
}

func (c *cloud) EnsureLoadBalancerDeleted(context.Context, string, *v1.Service) error { return nil }
