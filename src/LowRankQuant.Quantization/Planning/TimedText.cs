using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>Windows of random token ids in front of and behind the first block of a model: what a block is timed with.</summary>
internal sealed class TimedText : IDisposable
{
    private readonly ActivationStream _input;
    private readonly ActivationStream? _target;
    private readonly RecordedInputs? _recorded;

    private TimedText(ActivationStream input, ActivationStream? target, RecordedInputs? recorded = null) => (_input, _target, _recorded) = (input, target, recorded);

    /// <summary>The windows in front of the block.</summary>
    public ActivationStream Input => _input;

    /// <summary>Windows in front of a block.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">Length of windows, and the seed.</param>
    /// <param name="windows">How many.</param>
    public static TimedText InFront(CausalModel model, Recipe recipe, int windows)
    {
        SeededRandom random = SeededRandom.Derive(recipe.Seed);
        int[][] ids = [.. Enumerable.Range(0, windows).Select(_ =>
            Enumerable.Range(0, recipe.SequenceLength).Select(_ => random.NextInt32(model.Config.VocabularySize)).ToArray())];
        return new TimedText(ActivationStream.Embed(model, ids, new StreamOptions(new MemoryBudget(long.MaxValue), Path.GetTempPath())), null);
    }

    /// <summary>Windows in front of a block and behind it.</summary>
    /// <inheritdoc cref="InFront"/>
    /// <param name="model">The model.</param>
    /// <param name="recipe">Length of windows, and the seed.</param>
    /// <param name="windows">How many.</param>
    /// <param name="block">The block, in full precision.</param>
    public static TimedText Around(CausalModel model, Recipe recipe, int windows, IDecoderBlock block)
    {
        ActivationStream input = InFront(model, recipe, windows)._input, target = input.Fork();
        if (ActivationStreams.Records(recipe, recipe.Method.Create(), block))
        {
            var recorded = new RecordedInputs(target);
            recorded.Advance(block, CancellationToken.None);
            return new TimedText(input, target, recorded);
        }
        target.Advance(block, null, CancellationToken.None);
        return new TimedText(input, target);
    }

    /// <summary>The streams as a method gets them, all windows to learn from; of a text <see cref="Around"/> a block.</summary>
    public BlockStreams Streams => new(_input, _target ?? throw new InvalidOperationException("These windows have not passed a block."), _input.Windows) { FullPrecisionInput = _input, FullPrecisionInputs = _recorded };

    /// <inheritdoc/>
    public void Dispose()
    {
        _recorded?.Dispose();
        _target?.Dispose();
        _input.Dispose();
    }
}
