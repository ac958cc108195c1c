namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>Tensors of old checkpoints that every loader computes today, so that nothing reads or writes them: rotary tables and attention masks.</summary>
internal static class IgnoredTensors
{
    private static readonly string[] Ends =
        ["rotary_emb.inv_freq", "rotary_emb.original_inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", ".masked_bias"];

    /// <summary>Whether a tensor is one of them.</summary>
    public static bool Contains(string name) => Ends.Any(end => name.EndsWith(end, StringComparison.Ordinal));
}
