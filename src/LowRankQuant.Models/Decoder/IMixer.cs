using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>The part of a block that mixes positions: attention, or whatever remembers what came before.</summary>
internal interface IMixer : IFoldable
{
    /// <summary>What a sequence's state takes.</summary>
    StateSize StateSize { get; }

    /// <summary>Where what it remembers can be quantized; empty where it remembers nothing of that kind, or another block's.</summary>
    IReadOnlyList<CacheSite> Caches => [];

    /// <summary>What it leaves on a tape, its output included; by sizes that a listed model has too.</summary>
    TapeNumbers OnTape { get; }

    /// <summary>The state of a sequence at its start.</summary>
    IMixerState CreateState(Device device, int positions);

    /// <summary>Mixes the rows of <paramref name="x"/> [rows, hidden].</summary>
    Variable Apply(Tape tape, Variable x, ForwardPass pass);
}

/// <summary>The part of a block that works on every row by itself: an MLP or experts.</summary>
internal interface IFeedForward : IFoldable
{
    /// <summary>What it leaves on a tape, its output apart; by sizes that a listed model has too.</summary>
    TapeNumbers OnTape { get; }

    /// <summary>Applies it to every row of <paramref name="x"/> [rows, hidden].</summary>
    Variable Apply(Tape tape, Variable x);
}

/// <summary>How the parts of a block are put together.</summary>
internal interface IBlockBody
{
    /// <summary>The part that mixes positions.</summary>
    IMixer Mixer { get; }

    /// <summary>The block's output for <paramref name="x"/> [rows, hidden].</summary>
    Variable Forward(Tape tape, Variable x, ForwardPass pass);

    /// <summary>What a token leaves on a tape, a number of the stream's width to spare included.</summary>
    /// <param name="hidden">Width of the stream.</param>
    TapeNumbers OnTape(int hidden);

    /// <summary>Names the folds of the block, and what reads and writes the residual stream.</summary>
    void AddFolds(FoldList folds) => folds.RefuseRotation("the block does not say what it is put together from");
}
