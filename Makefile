PYTHON ?= python3
SPEECH ?= ../shared/speech
BIN := .venv/bin

.DEFAULT_GOAL := help
# Each target that has a help line is a name, not a file.
.PHONY: $(shell awk -F : '/^[a-z-]+:.*\#\# / {print $$1}' $(firstword $(MAKEFILE_LIST)))

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/.embedded ## Serve a model over HTTP (optional: PORT=8000 HOST=127.0.0.1 MODEL=embedded:whisper-base)
	$(BIN)/hf-asr serve $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(MODEL),--model $(MODEL))

test: .venv/.test ## Check style and types, run all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-trained: .venv/.test ## Train a small CTC model on spoken digits, serve it, and let it transcribe others; long recordings by transformers (some minutes)
	$(BIN)/python -m pytest -m slow tests/transformers_models tests/clients

test-arm: .venv/.test ## Run the kernels' tests on an emulated Arm processor (needs Debian, qemu-user, 1.5 GB of disk and 10 minutes to an hour; else skipped)
	$(BIN)/python -m tests.arm $(ARGS)

test-levels: .venv/.test ## Run the kernels' tests at the levels that this x86 processor lacks, with emulated instructions (5 minutes)
	HF_ASR_TEST_EMULATED=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -k "vnni or bf16 or neon" \
		tests/whisper/kernels tests/whisper/kv_cache tests/whisper/model tests/parity/test_precision.py

test-ray: .venv/.test-ray .venv/.clients ## Run servers and archives on Ray, and all client programs on a server of two engines (needs Node.js, 2 GB of disk and 20 minutes)
	TEST_RAY=1 $(BIN)/python -m pytest -m "not parity_full and not slow" tests/ray_data tests/ray_serve tests/clients

test-clients: .venv/.clients ## Run client programs from PyPI and npm on the server (needs Node.js and 1.5 GB of disk; optional: TEST_CLIENTS_DIR=folder for them)
	$(BIN)/python -m pytest -m clients tests/clients

fuzz: .venv/.test ## Decode 20,000 mutated files and send 10,000 mutated requests, within 20 minutes (optional: ARGS="--minutes 60 --seed 7")
	$(BIN)/python -m tests.fuzz $(ARGS)

pictures: .venv/.test ## Draw the pictures in docs/pictures again (needs Chromium and its driver)
	$(BIN)/python -m tests.playground.pictures
	$(BIN)/python -m tests.command_line.picture
	$(BIN)/python -m bench.plot bench/results/zen3.json --out docs/pictures/speed.svg

states: .venv/.test ## Write a picture of each state of the pages to build/states, to be looked at (needs Chromium and its driver)
	STATES_FOLDER=build/states $(BIN)/python -m pytest -q tests/playground -k axe

bench: .venv/.bench ## Compare speed, accuracy and memory with other engines (optional: MODEL= SPEECH= ARGS="--clips 10 --engines A,B")
	$(BIN)/python -m bench.compare --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-load: .venv/.bench ## Measure the server under load (optional: MODEL= SPEECH= ARGS="--clients 1,64 --peer --long --memory")
	$(BIN)/python -m bench.load --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-folder: .venv/.bench ## Compare the command line over a folder of short clips with the server's best (optional: MODEL= SPEECH= ARGS="--rounds 5")
	$(BIN)/python -m bench.folder --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-wer: .venv/.bench ## Print word error rates on real recordings, by level (optional: MODEL= SPEECH= ARGS="--levels float32,avx2 --copies 8")
	$(BIN)/python -m bench.wer --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-transformers: .venv/.bench ## Measure a Whisper that transformers computes: word error rates, 1 and 16 clients (optional: MODEL= SPEECH= ARGS="--seconds 30")
	$(BIN)/python -m bench.wer --speech $(SPEECH) --engine transformers --sets "English,long file" $(if $(MODEL),--model $(MODEL))
	$(BIN)/python -m bench.load --speech $(SPEECH) --engine transformers --clients 1,16 $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-words: .venv/.bench ## Compare word timestamps with faster-whisper's (optional: MODEL= SPEECH=folder with manifest.jsonl)
	$(BIN)/python -m bench.words --speech $(SPEECH) $(if $(MODEL),--model $(MODEL))

bench-languages: .venv/.bench ## Print how often languages are detected and translations are English (optional: MODEL= SPEECH=folder with manifest.jsonl)
	$(BIN)/python -m bench.languages --speech $(SPEECH) $(if $(MODEL),--model $(MODEL))

bench-robustness: .venv/.bench ## Try silence, foreign prompts, several languages, noise, pauses (optional: ARGS="--every 4 --checks silences,pauses")
	$(BIN)/python -m bench.robustness --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-live: .venv/.bench ## Let 1, 4 and 8 people speak in real time: when words come, how right they are (optional: SPEECH= ARGS="--sessions 1 --detection null")
	$(BIN)/python -m bench.live --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-kernels: .venv/.bench ## Print the speed of each kernel in % of the processor's peak
	$(BIN)/python -m bench.kernels

bench-preparation: .venv/.bench ## Prepare audio in threads and in processes: speed, and how much of Python's lock it takes (optional: SPEECH= ARGS="--processes 1,2,4")
	$(BIN)/python -m bench.preparation --speech $(SPEECH) $(ARGS)

bench-shapes: .venv/.bench ## Measure every size of Whisper with random weights, beside CTranslate2 (optional: ARGS="--sizes tiny,turbo --threads 1")
	$(BIN)/python -m bench.shapes $(ARGS)

bench-precision: .venv/.bench ## Print how precise each kind of linear layer is in int8, in dB (optional: SPEECH=folder with manifest.jsonl)
	$(BIN)/python -m bench.precision --speech $(SPEECH)

bench-attacks: .venv/.bench ## Send a running server requests built to cost it much (URL=http://… PID=of the server)
	$(BIN)/python -m bench.attacks --url $(URL) $(if $(PID),--pid $(PID)) $(ARGS)

bench-overload: .venv/.bench ## Offer a server 10 times what it can do for 2 minutes, and 64 slow uploads (optional: SPEECH= ARGS="--seconds 30 --places 8")
	$(BIN)/python -m bench.overload --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-ray: .venv/.bench .venv/.ray ## Compare servers on Ray, of one engine and of two, with a single one (optional: MODEL= SPEECH= ARGS="--seconds 30")
	$(BIN)/python -m bench.ray --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

soak: .venv/.bench ## Let 32 clients of all kinds ask for 20 minutes: no error, no growth of memory (optional: SPEECH= ARGS="--minutes 5 --clients 8")
	$(BIN)/python -m bench.soak --speech $(SPEECH) $(if $(MODEL),--model $(MODEL)) $(ARGS)

test-gpu: .venv/.test ## Run the tests of the GPU's kernels in Triton's interpreter (installs 290 MB into build/triton; a minute)
	@test -d build/triton || $(BIN)/python -m pip install --quiet --no-deps --target build/triton triton==3.6.0 numpy==2.3.5
	PYTHONPATH=build/triton TRITON_INTERPRET=1 $(BIN)/python -m pytest tests/whisper/device/test_triton_kernels.py

gpu-check: .venv/.test ## Check the engine on a GPU: correctness, speed, synchronizations (optional: ARGS="--phases A,B")
	$(BIN)/python -m bench.gpu.packed --target build/gpu
	$(BIN)/python -m bench.gpu_check --packed build/gpu --out build/gpu/check.jsonl $(ARGS)

clean: ## Remove the virtual environment and everything generated
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

# One stamp for each set of optional dependencies, so that a second run starts at once.
.venv/.%: pyproject.toml constraints.txt
	@echo "installing into .venv: a minute or two, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@
