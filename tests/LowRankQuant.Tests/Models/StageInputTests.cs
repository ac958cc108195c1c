using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Models;

/// <summary>The forward pass that ends at a stage, against what the stage's slots see in a whole one.</summary>
public sealed class StageInputTests
{
    private const int Tokens = 24;

    [Fact]
    public void EveryStageSeesWhatItSeesInAWholeForwardPass()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), device);
        using IDecoderBlock block = model.LoadBlock(1);
        float[] values = [.. Enumerable.Range(0, Tokens * model.Config.HiddenSize).Select(i => MathF.Sin(i * 0.37f))];
        using Tensor x = device.From(values, Tokens, model.Config.HiddenSize);
        var seen = new Dictionary<int, float[]>();
        for (int slot = 0; slot < block.Slots.Count; slot++)
        {
            int number = slot;
            block.Slots[slot].InputObserver = input => seen[number] = input.ToArray();
        }
        var shape = new SequenceShape(2, Tokens / 2);
        using (var whole = new Tape(device, recording: false)) block.Forward(whole, new Variable(x), shape);
        foreach (LinearSlot slot in block.Slots) slot.InputObserver = null;
        IReadOnlyList<InputStage> stages = InputStages.Find(block, Run);
        Assert.Equal([[0, 1, 2], [3], [4, 5], [6]], stages.Select(stage => Assert.Single(stage.Sites).Slots));
        for (int stage = 0; stage < stages.Count; stage++)
        {
            float[]? input = null;
            InputStages.RunTo(block, stages, stage, .., (_, reached) => input = reached.ToArray(), Run);
            foreach (int slot in stages[stage].Sites[0].Slots) Assert.Equal(seen[slot], input);
        }
        Assert.All(block.Slots, slot => Assert.Null(slot.InputObserver));

        void Run()
        {
            using var tape = new Tape(device, recording: false);
            block.Forward(tape, new Variable(x), shape);
        }
    }
}
