namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <content>The codebook: 256 runs of 4 values, data of the format.</content>
internal readonly partial struct IQ3_XXS
{
    // A 16-bit word a run, 3 bits a value, in the order in which blocks number the runs.
    private const string Packed = """
        AAACAAQACQALAA8AEAASABkAIgA7AD0AQQBDAEgASgBRAFUAWABaAGEAbAB4AIAAggCEAIkAkACSAJkAmwCfAKkArwC9AMEAxwDIAMoA1QD4AAsBHwEkAS8BOwE9AUEBRwFaAWoB
        nQG0AcgBzAHOAeMB8QEBAgMCCAIKAhECEwIYAhoCHAInAigCQAJCAkkCUAJSAoECgwKIAooCkQKYAroCwALCAtAC2QLmAvYCAQMFAygDUANUA2YDeQOFA9ID4AMABAIECQQLBBAE
        EgQWBBkEIgRBBEMERQRIBEoEUQRYBHMEdwR4BIAEggSJBI8EkASSBJ8EoAStBMEEyATMBPgE/AQdBSsFQwVXBWEFfAXBBcMFzgXlBQEGCAYKBhEGEwYoBjUGOgZABkIGUAZZBmQG
        ZgaBBoMGiAaVBqoGugbJBtsGGAcnBzoHQAdGB1IHbQeMB54HswfbB/AHBAgPCB0IHwgrCC8IfAiQCJ8IoAiwCLYIxwjlCAQJKQk0CVUJYwl4CcUJyAnKCdgJCgohCjgKQApGClYK
        bQqMCpoKugrCCusKCAsTCxcLOgtCC1kLqAvUC+ILFAwkDCYMNAxRDHEMjwy0DNgM3gwkDUUNag2bDcMN0Q0DDgUOBw4IDhoOKg5WDmAOig6lDqoOwA7NDtsO8A4RDyEPQA9CD1QP
        mA8=
        """;

    /// <summary>The runs that IQ3_XXS names.</summary>
    internal static Codebook Grid { get; } = new(4, 3, [4, 12, 20, 28, 36, 44, 52, 62], Packed);
}
