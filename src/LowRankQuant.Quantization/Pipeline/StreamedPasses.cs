using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// Forward and backward passes through a whole model with one block in memory at a time. The input of every block is kept, and a block is computed
/// again when gradients come back through it, so that no more than one block's tape exists at any time.
/// </summary>
internal sealed class StreamedPasses : IDisposable
{
    private readonly CausalModel _model;
    private readonly ActivationStore[] _states;
    private readonly Tensor _x;
    private readonly Tensor _gradient;
    private readonly Tensor _slope;
    private int _windows;

    /// <summary>Room for some windows at once.</summary>
    /// <param name="model">Embedding and head, and what gives blocks.</param>
    /// <param name="windows">Most windows of one pass.</param>
    /// <param name="length">Tokens of each.</param>
    /// <param name="budget">Memory for the inputs of blocks.</param>
    /// <param name="scratch">Where they go when it is not enough.</param>
    public StreamedPasses(CausalModel model, int windows, int length, MemoryBudget budget, string scratch)
    {
        _model = model;
        _states = new ActivationStore[model.Config.Layers + 1];
        for (int i = 0; i < _states.Length; i++) _states[i] = new ActivationStore(windows, length, model.Config.HiddenSize, budget, scratch);
        _x = model.Device.Empty(length, model.Config.HiddenSize);
        _gradient = model.Device.Empty(length, model.Config.HiddenSize);
        _slope = model.Device.Empty(length, model.Config.HiddenSize);
    }

    /// <summary>What comes out of the last block, [length, hidden] a window; after <see cref="Head"/> its gradients.</summary>
    public ActivationStore Last => _states[^1];

    /// <summary>Embeds windows and takes them through all blocks.</summary>
    /// <param name="windows">Token ids.</param>
    /// <param name="embedding">The embedding table.</param>
    /// <param name="load">Gives a block; it is disposed of afterwards.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="done">Told the number of blocks done.</param>
    public void Forward(IReadOnlyList<int[]> windows, Tensor embedding, Func<int, DecoderBlock> load, CancellationToken cancellation, Action<int>? done = null)
    {
        _windows = windows.Count;
        for (int w = 0; w < _windows; w++)
        {
            _model.Embed(embedding, windows[w], _x);
            _states[0].Write(w, _x);
        }
        for (int i = 0; i < _model.Config.Layers; i++)
        {
            using DecoderBlock block = load(i);
            for (int w = 0; w < _windows; w++)
            {
                cancellation.ThrowIfCancellationRequested();
                _states[i].Read(w, _x);
                using var tape = new Tape(_model.Device, recording: false);
                _states[i + 1].Write(w, block.Forward(tape, new Variable(_x), new SequenceShape(1, _x.Rows)).Value);
            }
            done?.Invoke(i + 1);
        }
    }

    /// <summary>Turns what came out of the last block into gradients.</summary>
    /// <param name="differentiate">Number of a window, its last hidden states, and where their gradient goes; both [length, hidden].</param>
    /// <param name="cancellation">Asks to stop.</param>
    public void Head(Action<int, Tensor, Tensor> differentiate, CancellationToken cancellation)
    {
        for (int w = 0; w < _windows; w++)
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
    public void Backward(Func<int, DecoderBlock> load, CancellationToken cancellation, Action<int>? done = null)
    {
        for (int i = _model.Config.Layers - 1; i >= 0; i--)
        {
            using DecoderBlock block = load(i);
            for (int w = 0; w < _windows; w++)
            {
                cancellation.ThrowIfCancellationRequested();
                _states[i].Read(w, _x);
                Last.Read(w, _slope);
                using var tape = new Tape(_model.Device, recording: true);
                tape.Backward(block.Forward(tape, new Variable(_x, _gradient), new SequenceShape(1, _x.Rows)), _slope);
                Last.Write(w, _gradient);
            }
            done?.Invoke(_model.Config.Layers - i);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ActivationStore states in _states) states.Dispose();
        _x.Dispose();
        _gradient.Dispose();
        _slope.Dispose();
    }
}
