using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Cli.Output;

/// <summary>Shows what <see cref="RunNarrator"/> says.</summary>
internal interface IRunView : IDisposable
{
    /// <summary>A line that stays.</summary>
    void Line(string text);

    /// <summary>A line that only somebody who reads along, or the log, wants; repeated every so often.</summary>
    void Passing(string text);

    /// <summary>A stage begins.</summary>
    void Stage(string name);

    /// <summary>The blocks begin.</summary>
    void BeginBlocks(int blocks);

    /// <summary>A step of a block.</summary>
    void Step(BlockProgress step, string left);

    /// <summary>So many blocks are done.</summary>
    void BlocksDone(int done);

    /// <summary>Progress of a stage without blocks.</summary>
    void Progress(long done, long total);
}
