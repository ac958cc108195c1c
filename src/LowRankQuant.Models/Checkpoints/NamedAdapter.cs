using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>An adapter whose modules have the names of a multimodal source, by their standard names.</summary>
/// <param name="adapter">The adapter; owned.</param>
/// <param name="standard">From a module's name in the file to its standard name.</param>
/// <exception cref="CheckpointException">Two modules of the file mean the same.</exception>
internal sealed class NamedAdapter(ILowRankAdapter adapter, Func<string, string> standard) : ILowRankAdapter
{
    private readonly Dictionary<string, string> _stored = Stored(adapter, standard);

    /// <inheritdoc/>
    public string Location => adapter.Location;

    /// <inheritdoc/>
    public string Kind => adapter.Kind;

    /// <inheritdoc/>
    public string TensorPath => adapter.TensorPath;

    /// <inheritdoc/>
    public long StoredBytes => adapter.StoredBytes;

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Modules => _stored.Keys;

    /// <inheritdoc/>
    public LowRankBranch? Read(string module) => _stored.TryGetValue(module, out string? stored) ? adapter.Read(stored) : null;

    /// <inheritdoc/>
    public (int OutFeatures, int InFeatures) ShapeOf(string module) => adapter.ShapeOf(_stored[module]);

    /// <inheritdoc/>
    public int RankOf(string module) => adapter.RankOf(_stored[module]);

    /// <inheritdoc/>
    public long StoredBitsOf(string module) => adapter.StoredBitsOf(_stored[module]);

    /// <inheritdoc/>
    public void Dispose() => adapter.Dispose();

    private static Dictionary<string, string> Stored(ILowRankAdapter adapter, Func<string, string> standard)
    {
        var stored = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string module in adapter.Modules)
        {
            if (!stored.TryAdd(standard(module), module))
                throw new CheckpointException($"{adapter.Location}: '{module}' and '{stored[standard(module)]}' mean the same module; remove one of them.");
        }
        return stored;
    }
}
