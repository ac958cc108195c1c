namespace LowRankQuant.Formats.Peft;

/// <summary>How an adapter is written: as PEFT, where every module keeps its own rank or all are padded to one, or as lrq counts it.</summary>
public enum AdapterForm
{
    /// <summary>Ranks as they are, told by <c>rank_pattern</c> and <c>alpha_pattern</c>; modules of rank 0 are left out.</summary>
    Pattern,

    /// <summary>One rank for all: missing rows and columns are zero. For engines that do not read patterns.</summary>
    Padded,

    /// <summary>No PEFT folder but lrq's own branch file: codes with their scales, in the bits that are counted.</summary>
    Codes,
}
