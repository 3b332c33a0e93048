# TensorFlow Serving on an NVIDIA T4 (G4), and the compiler of its artefact. A model is mounted at
# /models; Dockerfile.cpu says how to bake one in.
#   docker build -f Dockerfile.g4 -t yolov4-g4 .
#   docker run --gpus=1 --init -v $PWD/model_repository:/models:ro -e MODEL_NAME=yolov4 yolov4-g4
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
# If this tag cannot be pulled, use tensorflow/serving:2.19.1-gpu, the oldest that was seen with all that
# is needed here: the XLA flag and nvcc (CUDA 12.2). Export the model with no newer TensorFlow then.
ARG TF_SERVING_IMAGE=tensorflow/serving:2.20.0-gpu

FROM ${PYTHON_IMAGE} AS everything
ARG PIP_INDEX_URL
WORKDIR /src
COPY requirements/run.in requirements/run.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt

FROM everything AS compiler
COPY docker/compile.sh /usr/local/bin/compile
COPY yolov4/ yolov4/
# Compiling needs no network then. If no source answers (status 3), the image has no COCO weights:
# MODEL=demo. Any other failure, such as a wrong hash, fails the build.
RUN python -m yolov4 download yolov4-tiny --to /opt/weights || { test $? -eq 3 && \
    echo "yolov4-tiny's weights could not be downloaded; MODEL=demo and your own models work"; }
ENV TARGET=g4 TF_ENABLE_ONEDNN_OPTS=1 TF_CPP_MIN_LOG_LEVEL=2 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["compile"]

FROM ${TF_SERVING_IMAGE} AS server
COPY docker/tfserving/monitoring.txt docker/tfserving/models.config \
     docker/tfserving/batching.g4.txt /etc/tfserving/
COPY docker/tfserving/serve.sh /usr/local/bin/serve
COPY docker/tfserving/available.sh /usr/local/bin/available
# XLA needs three things. The flag in CMD: without it the server switches XLA off for the whole
# process, whatever the environment says (main.cc; before 2.18 it has no compiler for GPUs at all).
# auto_jit: the flag alone allows compilation, and nothing asks for it. And CUDA's libdevice.
ENV TF_XLA_FLAGS=--tf_xla_auto_jit=2 \
    XLA_FLAGS=--xla_gpu_cuda_data_dir=/usr/local/cuda
RUN test -e /usr/local/cuda/nvvm/libdevice/libdevice.10.bc \
 || { echo "XLA cannot compile in this image: CUDA's nvcc package is missing"; exit 1; }
# Memory as it is needed, where TensorFlow takes all: a new version is loaded beside the old one.
ENV TF_FORCE_GPU_ALLOW_GROWTH=true
USER 65532:65532
# The first start compiles the graph for every allowed batch size before it is AVAILABLE. XLA compiles
# a shape other than the first only when it is seen for the second time: each warm-up request runs twice.
HEALTHCHECK --interval=10s --timeout=6s --start-period=900s CMD ["available"]
ENTRYPOINT ["serve"]
CMD ["--xla_gpu_compilation_enabled=true", \
     "--num_request_iterations_for_warmup=2", \
     "--enable_batching=true", \
     "--batching_parameters_file=/etc/tfserving/batching.g4.txt", \
     "--per_process_gpu_memory_fraction=0.9"]

FROM server AS baked
ARG MODEL=demo
ENV MODEL_NAME=${MODEL}
COPY model_repository/${MODEL}/ /models/${MODEL}/

FROM server
