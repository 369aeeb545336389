"""The program without an engine: the SDK's test monitor, with a state, and providers that do what they say.

    monitor    takes the program's registrations and makes each so: create, update, or nothing to do
    providers  what each type of resource does: the dynamic providers themselves, commands, and one random id
    state      what is remembered between runs
    verbs      up, preview, refresh and destroy
    forked     a verb in a process of its own
    reading    what stands for the command pulumi where `python -m mesh` reads the state

A rehearsal registers the same resources, runs the same providers with the same properties, and reaches the same hosts
over SSH. It has no locks, targets, secrets providers or previews in the engine's words: what is about these is tested
with the engine.
"""
