using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs;

/// <summary>Is told what a run does, in order, from the thread that does it.</summary>
public interface IRunObserver
{
    /// <summary>From now on everything said is appended to this file too.</summary>
    void LogTo(string file);

    /// <summary>A new stage begins, such as <c>reading calibration text</c>.</summary>
    void Stage(string name);

    /// <summary>Something worth knowing.</summary>
    void Note(string text);

    /// <summary>Something the user should act on.</summary>
    void Warn(string text);

    /// <summary>The blocks begin.</summary>
    /// <param name="blocks">How many there are.</param>
    /// <param name="finished">How many an earlier session finished.</param>
    void BeginBlocks(int blocks, int finished);

    /// <summary>A step of training.</summary>
    void Step(BlockProgress step);

    /// <summary>A block is finished, or was finished by an earlier session.</summary>
    void Block(BlockReport report);

    /// <summary>Progress of the stage that is not about blocks, such as windows measured.</summary>
    /// <param name="done">Steps done.</param>
    /// <param name="total">All steps, or about how many; 0 where that is not known.</param>
    void Progress(long done, long total);
}
