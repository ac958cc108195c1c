using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// Forward and backward passes through a whole model with one block in memory at a time. The input of every block is kept, and a block is computed
/// again when gradients come back through it, so that no more than one block's tape exists at any time.
/// </summary>
internal sealed class StreamedPasses : IDisposable
{
    private readonly CausalModel _model;
    private readonly ActivationStream _stream;
    private readonly ActivationStream[] _inputs;
    private readonly Tensor _x;
    private readonly Tensor _gradient;
    private readonly Tensor _slope;

    /// <summary>Room for some windows at once.</summary>
    /// <param name="model">Gives what is around the blocks.</param>
    /// <param name="embedding">Its embedding.</param>
    /// <param name="windows">Token ids of as many windows, as long as any, as there will be at once.</param>
    /// <param name="budget">Memory for the inputs of blocks.</param>
    /// <param name="scratch">Where they go when it is not enough.</param>
    public StreamedPasses(CausalModel model, InputEmbedding embedding, IReadOnlyList<int[]> windows, MemoryBudget budget, string scratch)
    {
        _model = model;
        _stream = ActivationStream.Embed(model, embedding, windows, new StreamOptions(budget, scratch));
        _inputs = [.. Enumerable.Range(0, model.Config.Layers).Select(_ => _stream.Shadow())];
        _x = model.Device.Empty(_stream.Rows, _stream.Columns);
        _gradient = model.Device.Empty(_stream.Rows, _stream.Columns);
        _slope = model.Device.Empty(_stream.Rows, _stream.Columns);
    }

    /// <summary>What comes out of the last block, [length, hidden] a window; after <see cref="Head"/> its gradients.</summary>
    public ActivationStream Last => _stream;

    /// <summary>Embeds windows and takes them through all blocks.</summary>
    /// <param name="windows">Token ids.</param>
    /// <param name="embedding">The model's embedding.</param>
    /// <param name="load">Gives a block; it is disposed of afterwards.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="done">Told the number of blocks done.</param>
    /// <param name="see">Given the number of a block, that of a window, and what comes out, [length, hidden]; null for nobody.</param>
    /// <param name="shelf">Keeps blocks for <see cref="Backward"/>; null where none follows.</param>
    public void Forward(
        IReadOnlyList<int[]> windows, InputEmbedding embedding, Func<int, IDecoderBlock> load, CancellationToken cancellation, Action<int>? done = null, Action<int, int, Tensor>? see = null,
        BlockShelf? shelf = null)
    {
        _stream.Refill(embedding, windows);
        for (int i = 0; i < _inputs.Length; i++)
        {
            IDecoderBlock block = load(i);
            bool isKept = false;
            try
            {
                _inputs[i].CopyFrom(_stream);
                int index = i;
                _stream.Advance(block, see is null ? null : (window, output) => see(index, window, output), cancellation);
                isKept = shelf?.TryKeep(block) == true;
            }
            finally
            {
                if (!isKept) block.Dispose();
            }
            done?.Invoke(i + 1);
        }
    }

    /// <summary>Turns what came out of the last block into gradients.</summary>
    /// <param name="differentiate">Number of a window, its last hidden states, and where their gradient goes; both [length, hidden].</param>
    /// <param name="cancellation">Asks to stop.</param>
    public void Head(Action<int, Tensor, Tensor> differentiate, CancellationToken cancellation)
    {
        for (int w = 0; w < _stream.Windows; w++)
        {
            cancellation.ThrowIfCancellationRequested();
            Last.Read(w, _x);
            differentiate(w, _x, _gradient);
            Last.Write(w, _gradient);
        }
    }

    /// <summary>Takes the gradients back through all blocks.</summary>
    /// <param name="load">Gives a block; it is disposed of afterwards.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="done">Told the number of blocks done.</param>
    /// <param name="passed">Told the number of every window that a block has given its gradients; null for nobody.</param>
    /// <param name="finish">Given every block behind its last window; null for nobody.</param>
    /// <param name="see">Given the number of a block, that of a window, and the gradient of what comes out of the block, [length, hidden]; null for nobody.</param>
    /// <param name="shelf">Has blocks as <see cref="Forward"/> has left them; null for none.</param>
    public void Backward(
        Func<int, IDecoderBlock> load, CancellationToken cancellation, Action<int>? done = null, Action<int>? passed = null, Action<IDecoderBlock>? finish = null, Action<int, int, Tensor>? see = null,
        BlockShelf? shelf = null)
    {
        _stream.BeginGradients();
        for (int i = _model.Config.Layers - 1; i >= 0; i--)
        {
            using IDecoderBlock block = shelf?.Take(i) ?? load(i);
            for (int w = 0; w < _stream.Windows; w++)
            {
                cancellation.ThrowIfCancellationRequested();
                Last.Read(w, _slope);
                see?.Invoke(i, w, _slope);
                _inputs[i].Differentiate(block, w, _x, _slope, _gradient);
                Last.Write(w, _gradient);
                passed?.Invoke(w);
            }
            finish?.Invoke(block);
            done?.Invoke(_model.Config.Layers - i);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ActivationStream input in _inputs) input.Dispose();
        _stream.Dispose();
        _x.Dispose();
        _gradient.Dispose();
        _slope.Dispose();
    }
}
