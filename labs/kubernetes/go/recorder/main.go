// Command recorder records one Event again and again as every controller of Kubernetes does, by
// client-go's recorder for events.k8s.io, so that an API can be tried with it.
// Usage: recorder KUBECONFIG NAMESPACE TIMES
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
)

func main() {
	path, namespace := os.Args[1], os.Args[2]
	times, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		log.Fatal(err)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(context.Background()); err != nil {
		log.Fatal(err)
	}
	about := &core.ObjectReference{Kind: "Widget", Namespace: namespace, Name: "a"}
	about.SetGroupVersionKind(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"})
	recorder := broadcaster.NewRecorder(scheme.Scheme, "example.com/painter")
	for n := range times {
		recorder.Eventf(about, nil, "Normal", "Painted", "Paint", "it is blue")
		await(client, namespace, n > 0)
	}
	broadcaster.Shutdown()
}

// await waits until the API has the Event, and that it is one of a series. The recorder itself sends
// beside us, and Shutdown would leave unsent what is still to be sent.
func await(client kubernetes.Interface, namespace string, series bool) {
	for range 600 {
		found, err := client.EventsV1().Events(namespace).List(context.Background(), meta.ListOptions{})
		if err != nil {
			log.Fatal(err)
		}
		if len(found.Items) > 0 && (found.Items[0].Series != nil || !series) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log.Fatal("the API has not got the Event")
}
