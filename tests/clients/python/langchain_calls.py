"""Calls of LangChain's audio parsers. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import contextlib
import io
import subprocess
import sys
import tempfile

import imageio_ffmpeg
from langchain_community.document_loaders.parsers.audio import AzureOpenAIWhisperParser, OpenAIWhisperParser
from langchain_core.documents.base import Blob
from outcomes import Outcomes
from pydub import AudioSegment

url, english, _, no_audio = sys.argv[1:]
outcomes = Outcomes()
# OpenAIWhisperParser reads with pydub, which needs ffprobe unless the file is a wav, and sends an mp3.
AudioSegment.converter = imageio_ffmpeg.get_ffmpeg_exe()
_, wav = tempfile.mkstemp(suffix=".wav")
subprocess.run([AudioSegment.converter, "-v", "error", "-y", "-i", english, wav], check=True)


def parse(parser: object, path: str) -> list:
    # The parser prints its progress.
    with contextlib.redirect_stdout(io.StringIO()):
        return [document.page_content for document in parser.lazy_parse(Blob.from_path(path))]


def make_parser(**options: object) -> OpenAIWhisperParser:
    return OpenAIWhisperParser(api_key="any", base_url=f"{url}/v1", **options)


def make_azure_parser(deployment: str) -> AzureOpenAIWhisperParser:
    return AzureOpenAIWhisperParser(
        deployment_name=deployment, api_version="2024-06-01", api_key="any", azure_endpoint=url, max_retries=0
    )


outcomes.call("default", parse, make_parser(), wav)
outcomes.call("language", parse, make_parser(language="en", prompt="A speech.", temperature=0), wav)
outcomes.call("azure", parse, make_azure_parser("whisper-1"), english)
outcomes.call("azure_no_audio", parse, make_azure_parser("whisper-1"), no_audio)
outcomes.print()
