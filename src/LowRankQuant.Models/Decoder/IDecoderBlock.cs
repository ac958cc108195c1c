using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>One block of a decoder, whatever its family: named linears whose weights can be replaced, and one forward pass for evaluation, training, calibration and generation.</summary>
public interface IDecoderBlock : IDisposable
{
    /// <summary>Number of the block, from 0.</summary>
    int Index { get; }

    /// <summary>Name of the block in a checkpoint, such as <c>model.layers.3</c>.</summary>
    string Name { get; }

    /// <summary>The linear layers that are quantized, in the order of <see cref="ModelLayout.Linears"/>.</summary>
    IReadOnlyList<LinearSlot> Slots { get; }

    /// <summary>Those that stay in their own type, in the order of <see cref="ModelLayout.Kept"/>: they are computed with, and gradients pass through them.</summary>
    IReadOnlyList<LinearSlot> Kept { get; }

    /// <summary>Slots that see the same kind of input, where one run may not show it: an expert by itself, say. Empty where running shows everything.</summary>
    IReadOnlyList<SlotGroup> DeclaredInputs { get; }

    /// <summary>Which experts the block's routers chose; empty without experts.</summary>
    IReadOnlyList<RouterChoice> Routers { get; }

    /// <summary>Where keys and values that the block makes can be quantized; empty for a block that makes none.</summary>
    IReadOnlyList<CacheSite> Caches { get; }

    /// <summary>Which inputs can be scaled, and whether the stream can be rotated, without changing what the block computes.</summary>
    BlockFolds Folds { get; }

    /// <summary>
    /// From the name of a tensor and a value to the value as it will be stored; null where all digits are. Norms, biases and routers that transforms change get these values, so
    /// that what is computed with is what is stored; what a norm's weight loses goes into the factors of its fold. Weights of <see cref="Kept"/> are among them, those of <see cref="Slots"/> are not touched.
    /// </summary>
    Func<string, float, float>? StoredRounding { get; set; }

    /// <summary>Something that is disposed of together with the block, such as quantizers that are in it.</summary>
    void Own(IDisposable part);

    /// <summary>What a sequence's state takes.</summary>
    StateSize StateSize { get; }

    /// <summary>The state of one sequence at its start, with room for <paramref name="positions"/>; the caller's.</summary>
    IMixerState CreateState(Device device, int positions);

    /// <summary>The block's output for <paramref name="x"/> [rows, hidden].</summary>
    /// <param name="tape">Records where gradients are asked for; lanes cannot be recorded.</param>
    /// <param name="x">[rows, hidden].</param>
    /// <param name="pass">What the rows are, and what the block gets beside them.</param>
    Variable Forward(Tape tape, Variable x, ForwardPass pass);

    /// <summary>The tensors of the block that transforms changed since it was loaded.</summary>
    /// <param name="weights">Whether the weights in the slots, as they are now, are among them; a method that quantizes them stores them itself. Those of <see cref="Kept"/> always are.</param>
    ChangedTensors Changes(bool weights);

    /// <summary>Takes over what transforms changed of this block when it was loaded before.</summary>
    void Take(ChangedTensors changes);
}

/// <summary>Slots that share an input, and the stage in which they are computed: stages of a block follow each other, groups of a stage do not depend on each other.</summary>
/// <param name="Stage">Number of the declared stage within the part that declares it.</param>
/// <param name="Slots">Numbers of the slots.</param>
public sealed record SlotGroup(int Stage, IReadOnlyList<int> Slots);

/// <summary>Short forms.</summary>
public static class DecoderBlockExtensions
{
    /// <summary>The block's output for whole windows, [shape.Rows, hidden].</summary>
    public static Variable Forward(this IDecoderBlock block, Tape tape, Variable x, SequenceShape shape) => block.Forward(tape, x, ForwardPass.OfWindows(shape));
}
