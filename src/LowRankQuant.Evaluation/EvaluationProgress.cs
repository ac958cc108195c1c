namespace LowRankQuant.Evaluation;

/// <summary>How far an evaluation is.</summary>
/// <param name="Phase">What is being done, such as <c>reference</c>, <c>block 3 of 30</c>.</param>
/// <param name="Done">Steps done of this phase, usually windows.</param>
/// <param name="Total">Steps of this phase; 0 while that is not known.</param>
public readonly record struct EvaluationProgress(string Phase, int Done, int Total);
