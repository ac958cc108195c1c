using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder;

/// <summary>What a pass through all blocks of a model carries beside the stream: the blocks' own inputs, and keys and values that some publish.</summary>
public sealed class PassInputs : IDisposable
{
    private readonly Tensor? _perLayer;
    private readonly int _layers;
    private Tensor? _current;

    /// <summary>Embeds rows and makes what goes with them.</summary>
    /// <param name="embedding">The model's embedding.</param>
    /// <param name="layers">Blocks of the model.</param>
    /// <param name="ids">One token a row.</param>
    /// <param name="x">The input of block 0, [ids, hidden]; overwritten.</param>
    /// <param name="positions">One a row; empty for 0, 1, 2 and so on.</param>
    public PassInputs(InputEmbedding embedding, int layers, ReadOnlySpan<int> ids, Tensor x, ReadOnlySpan<int> positions = default)
    {
        embedding.Embed(ids, x, positions);
        _layers = layers;
        if (embedding.PerLayerColumns == 0) return;
        _perLayer = x.Device.Empty(ids.Length, embedding.PerLayerColumns);
        embedding.EmbedPerLayer(ids, x, _perLayer);
    }

    /// <summary>What blocks publish in this pass.</summary>
    public PublishedValues Published { get; } = new();

    /// <summary>A pass through one block with its inputs, valid until the next call.</summary>
    public ForwardPass For(ForwardPass pass, int block)
    {
        _current?.Dispose();
        _current = _perLayer is null ? null : ColumnsOf(_perLayer, _layers, block);
        return pass.With(_current, Published);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _perLayer?.Dispose();
        _current?.Dispose();
        Published.Dispose();
    }

    /// <summary>The columns of one block.</summary>
    /// <param name="all">[rows, layers * n].</param>
    /// <param name="layers">Blocks.</param>
    /// <param name="block">Number of the block.</param>
    /// <returns>[rows, n]; the caller's.</returns>
    public static Tensor ColumnsOf(Tensor all, int layers, int block)
    {
        int n = all.Columns / layers;
        var rows = new int[all.Rows];
        for (int i = 0; i < rows.Length; i++) rows[i] = (i * layers) + block;
        Tensor columns = all.Device.Empty(all.Rows, n);
        all.Device.Kernels.EmbeddingForward(all.View(checked(all.Rows * layers), n), rows, columns);
        return columns;
    }
}
