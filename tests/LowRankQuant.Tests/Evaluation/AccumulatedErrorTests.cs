using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Errors of block outputs, each model on its own stream, against passes through the first blocks of both.</summary>
public sealed class AccumulatedErrorTests : IDisposable
{
    // Two of one length, so that they pass together.
    private static readonly int[][] Windows = [Ids(0, 24), Ids(7, 24), Ids(50, 3), Ids(3, 40)];
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly CausalModel _model;
    private readonly CausalModel _other;

    public AccumulatedErrorTests()
    {
        _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        _other = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), AlteredCheckpoint.CutToFourBits), _device);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _model.Dispose();
        _other.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void IsThatOfPassesThroughTheFirstBlocks()
    {
        IReadOnlyList<double> errors = Measure(new ModelRunnerOptions());
        Assert.Equal(_model.Config.Layers, errors.Count);
        for (int blocks = 1; blocks <= errors.Count; blocks++)
        {
            double sum = 0, values = 0;
            foreach (int[] window in Windows)
            {
                float[] own = Outputs(_other, window, blocks), expected = Outputs(_model, window, blocks);
                for (int i = 0; i < own.Length; i++) sum += Math.Pow((double)own[i] - expected[i], 2);
                values += own.Length;
            }
            Assert.Equal(Math.Sqrt(sum / values), errors[blocks - 1], 1e-6 * errors[blocks - 1]);
        }
        Assert.True(errors[^1] > errors[0] && errors[0] > 0);
    }

    /// <summary>One block is in memory at a time, states lie on disk where memory has no room, and the figures are the same to the last bit.</summary>
    [Fact]
    public void StreamsBlockByBlock()
    {
        using var scratch = new TemporaryFolder();
        var counts = new CountedBlocks();
        Assert.Equal(Measure(new ModelRunnerOptions()), Measure(new ModelRunnerOptions { MemoryBytes = 1000, ScratchFolder = scratch.Path }, counts));
        Assert.Equal((0, 1), (counts.Held, counts.Most));
        Assert.Equal(_model.Config.Layers, counts.Loads[_model]);
        Assert.Empty(Directory.GetFiles(scratch.Path));
    }

    [Fact]
    public void AModelBesideItselfHasNone() => Assert.All(Measure(_model), error => Assert.Equal(0, error));

    [Fact]
    public void WhatDoesNotFitIsRefused()
    {
        using var other = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var elsewhere = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), other);
        Assert.Contains("on one device", Assert.Throws<EvaluationException>(() => Measure(elsewhere)).Message, StringComparison.Ordinal);
        using var runner = new ModelRunner(_model);
        Assert.Contains("A window of 513 tokens", Assert.Throws<EvaluationException>(() => AccumulatedError.Of(runner, runner, [Ids(0, 513)], cancellation: Token)).Message, StringComparison.Ordinal);
    }

    private static int[] Ids(int first, int length) => [.. Enumerable.Range(first, length).Select(i => i * 31 % 2000)];

    private IReadOnlyList<double> Measure(CausalModel model)
    {
        using ModelRunner runner = new(model), reference = new(_model);
        return AccumulatedError.Of(runner, reference, Windows, cancellation: Token);
    }

    private IReadOnlyList<double> Measure(ModelRunnerOptions options, CountedBlocks? counts = null)
    {
        using ModelRunner runner = new(_other, options, counts?.Of(_other)), reference = new(_model, options, counts?.Of(_model));
        return AccumulatedError.Of(runner, reference, Windows, cancellation: Token);
    }

    private static float[] Outputs(CausalModel model, int[] window, int blocks)
    {
        IDecoderBlock[] first = [.. Enumerable.Range(0, blocks).Select(model.LoadBlock)];
        using InputEmbedding embedding = model.LoadEmbedding();
        using Tensor output = ActivationStream.Through(model, embedding, first, [window], Token);
        foreach (IDecoderBlock block in first) block.Dispose();
        return output.ToArray();
    }
}
