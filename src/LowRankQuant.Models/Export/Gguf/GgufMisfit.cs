namespace LowRankQuant.Models.Export.Gguf;

/// <summary>What an export does with a tensor whose grid fits no block of the format.</summary>
public enum GgufMisfit
{
    /// <summary>Refuses the export, naming the nearest grid that fits.</summary>
    Refuse,

    /// <summary>Stores the values as 32-bit floats: exact, and large.</summary>
    StoreFloats,
}
