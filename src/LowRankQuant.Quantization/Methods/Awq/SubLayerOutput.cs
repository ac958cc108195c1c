using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>
/// What the sub-layer behind a site adds to the residual stream, as it was and as it is now that other weights are in the site's linears. It is what the linears that write to the
/// stream next give, such as the output projection behind q, k and v; where nothing of the block comes behind those, the block's output differs by the same and is looked at instead,
/// which holds for experts and for parts side by side too.
/// </summary>
internal sealed class SubLayerOutput : IDisposable
{
    private readonly IDecoderBlock _block;
    private readonly IReadOnlyList<InputStage> _stages;
    private readonly ActivationStream _inputs;
    private readonly int _windows;
    private readonly IReadOnlyList<bool[]>? _masks;
    private readonly CancellationToken _cancellation;
    private readonly ActivationStream _expected;
    private readonly (int Stage, LinearSlot Slot, Tensor Weight)[] _writers;

    /// <summary>Notes what comes out of the block as it is.</summary>
    /// <param name="block">The block, its weights floats.</param>
    /// <param name="site">A site behind a norm.</param>
    /// <param name="stages">The stages of the block.</param>
    /// <param name="inputs">Windows in front of the block.</param>
    /// <param name="looked">The first so many are looked at, and which of their tokens.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public SubLayerOutput(IDecoderBlock block, FoldSite site, IReadOnlyList<InputStage> stages, ActivationStream inputs, LookedAt looked, CancellationToken cancellation)
    {
        (_block, _stages, _inputs, _windows, _masks, _cancellation) = (block, stages, inputs, looked.Count ?? inputs.Windows, looked.Masks, cancellation);
        _writers = [.. WritersBehind(block, site, stages, inputs.Columns).Select(writer => (writer.Stage, writer.Slot, Weight: inputs.Device.From(writer.Slot.WeightValues(), writer.Slot.OutFeatures, writer.Slot.InFeatures)))];
        _expected = inputs.Shadow();
        Each(_expected.Write);
    }

    /// <summary>The linears whose outputs are looked at; empty for the block's own.</summary>
    public IEnumerable<string> Writers => _writers.Select(writer => writer.Slot.Name);

    /// <summary>Mean squared difference of what comes out now; tokens that are not looked at add nothing to it.</summary>
    public double Error()
    {
        var sum = new WindowSum(_windows);
        Each((window, output) =>
        {
            using Tensor expected = _inputs.Device.Empty(output.Shape);
            _expected.Read(window, expected);
            using Tensor? weights = TokenWeights.OfMask(_inputs.Device, _masks?[window]);
            sum.Add(_inputs.Device.Kernels.SquaredError(output, expected, weights, 1f / output.Count, null));
        });
        return sum.Total / _windows;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _expected.Dispose();
        foreach ((_, _, Tensor weight) in _writers) weight.Dispose();
    }

    // Of the stages: the first at or behind the site's linears that writes to the stream, and those up to the next that reads what a norm gives. Empty where no such stage follows.
    private static (int Stage, LinearSlot Slot)[] WritersBehind(IDecoderBlock block, FoldSite site, IReadOnlyList<InputStage> stages, int width)
    {
        int[] stageOf = new int[block.Slots.Count];
        for (int stage = 0; stage < stages.Count; stage++)
        {
            foreach (int slot in stages[stage].Sites.SelectMany(input => input.Slots)) stageOf[slot] = stage;
        }
        int first = site.Readers.Min(reader => stageOf[reader]);
        (int Stage, LinearSlot Slot)[] behind =
            [.. block.Slots.Select((slot, i) => (Stage: stageOf[i], Slot: slot)).Where(writer => writer.Stage >= first && block.Folds.StreamWriters.Contains(writer.Slot))];
        if (behind.Length == 0) return [];
        int next = behind.Min(writer => writer.Stage);
        int[] later = [.. block.Folds.Sites.Where(other => other != site && other.Kind == FoldKind.Norm).Select(other => other.Readers.Min(reader => stageOf[reader])).Where(stage => stage > next)];
        if (later.Length == 0) return [];
        (int Stage, LinearSlot Slot)[] own = [.. behind.Where(writer => writer.Stage < later.Min())];
        return own.All(writer => writer.Slot.OutFeatures == width && !writer.Slot.IsExpert) ? own : [];
    }

    private void Each(Action<int, Tensor> see)
    {
        if (_writers.Length == 0)
        {
            _inputs.Look(_block, 0, _windows, see, _cancellation, batch: 1);
            return;
        }
        for (int window = 0; window < _windows; window++)
        {
            _cancellation.ThrowIfCancellationRequested();
            using Tensor output = _inputs.Device.Empty(_inputs.LengthOf(window), _inputs.Columns);
            Write(window, output);
            see(window, output);
        }
    }

    // The sum of what the writers give, without their biases, which are the same before and after.
    private void Write(int window, Tensor output)
    {
        bool begun = false;
        if (_writers.Length == 1 && _stages[_writers[0].Stage].Sites.Count == 1)
        {
            InputStages.RunTo(_block, _stages, _writers[0].Stage, .., (_, x) => Add(x, _writers[0].Weight), () => Run(window));
            return;
        }
        try
        {
            foreach ((_, LinearSlot slot, Tensor weight) in _writers) slot.InputObserver = x => Add(x, weight);
            Run(window);
        }
        finally
        {
            foreach ((_, LinearSlot slot, _) in _writers) slot.InputObserver = null;
        }

        void Add(Tensor x, Tensor weight)
        {
            _inputs.Device.Kernels.MatMul(x, false, weight, true, output, accumulate: begun);
            begun = true;
        }
    }

    private void Run(int window)
    {
        using Tensor x = _inputs.Device.Empty(_inputs.LengthOf(window), _inputs.Columns);
        using var tape = new Tape(_inputs.Device, recording: false);
        _inputs.Forward(_block, tape, [window], x);
    }
}
