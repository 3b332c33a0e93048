/* A stand-in of Neuron's TensorFlow Serving: says the version of the runtime it was linked with, and
   that its model is AVAILABLE. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *nrt_version(void);

int main(int count, char **arguments) {
  printf("runtime %s\n", nrt_version());
  for (int i = 1; i < count; i++) {
    printf("%s\n", arguments[i]);
    if (!strcmp(arguments[i], "--version")) return 0;
  }
  fflush(stdout);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8501)};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8)) return 1;
  for (;;) {
    const char *answer = "HTTP/1.0 200 OK\r\n\r\n{\"state\": \"AVAILABLE\"}";
    char request[1024];
    int caller = accept(listener, NULL, NULL);
    if (read(caller, request, sizeof request) > 0) write(caller, answer, strlen(answer));
    close(caller);
  }
}
