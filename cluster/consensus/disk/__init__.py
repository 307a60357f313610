"""The disk of a Raft log: entries, snapshot, term and vote, in two files.

* ``thread``: how the event loop uses a disk. Begin here.
* ``disk``: an open one: writes are carried out.
* ``opening``: how it is opened: what is found, healed, dropped or refused; ``former`` refuses the
  files of earlier releases.
* ``plan``: what a batch of writes comes to in bytes.
* ``records``: the format of the log; ``reading`` reads it.
* ``slots``: the format of the other file: term, vote, boot, and how far the log was synced;
  ``state_file`` reads and writes it.
* ``order``: which index and term may follow.
* ``directory``: what is asked of a file system.
* ``errors``: a disk that failed, and one that is full.
"""
